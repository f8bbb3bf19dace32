//! The one-binary front: demo, sandbox, the three services and the operator's commands
