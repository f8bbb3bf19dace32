//! Makes grocery orders and sends them to grocery.orders.v1
