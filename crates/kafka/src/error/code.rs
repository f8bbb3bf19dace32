//! The error codes that brokers answer with.
//!
//! Which of them are worth trying again follows Java's `Errors.java` and not the broker's documentation alone: code 7
//! (request timed out) is retriable although it leaves the outcome open, code 29 (topic authorization) is not although
//! an operator may mend it.

use std::fmt;

/// An `error_code` of a broker's answer that is not zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(i16);

impl ErrorCode {
    /// `UNKNOWN_SERVER_ERROR`
    pub const UNKNOWN_SERVER_ERROR: Self = Self(-1);
    /// `OFFSET_OUT_OF_RANGE`
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    /// `CORRUPT_MESSAGE`
    pub const CORRUPT_MESSAGE: Self = Self(2);
    /// `UNKNOWN_TOPIC_OR_PARTITION`
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    /// `LEADER_NOT_AVAILABLE`
    pub const LEADER_NOT_AVAILABLE: Self = Self(5);
    /// `NOT_LEADER_OR_FOLLOWER`
    pub const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    /// `REQUEST_TIMED_OUT`
    pub const REQUEST_TIMED_OUT: Self = Self(7);
    /// `BROKER_NOT_AVAILABLE`
    pub const BROKER_NOT_AVAILABLE: Self = Self(8);
    /// `REPLICA_NOT_AVAILABLE`
    pub const REPLICA_NOT_AVAILABLE: Self = Self(9);
    /// `MESSAGE_TOO_LARGE`
    pub const MESSAGE_TOO_LARGE: Self = Self(10);
    /// `NETWORK_EXCEPTION`
    pub const NETWORK_EXCEPTION: Self = Self(13);
    /// `COORDINATOR_LOAD_IN_PROGRESS`
    pub const COORDINATOR_LOAD_IN_PROGRESS: Self = Self(14);
    /// `COORDINATOR_NOT_AVAILABLE`
    pub const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    /// `NOT_COORDINATOR`
    pub const NOT_COORDINATOR: Self = Self(16);
    /// `NOT_ENOUGH_REPLICAS`
    pub const NOT_ENOUGH_REPLICAS: Self = Self(19);
    /// `INVALID_TOPIC_EXCEPTION`
    pub const INVALID_TOPIC_EXCEPTION: Self = Self(17);
    /// `ILLEGAL_GENERATION`
    pub const ILLEGAL_GENERATION: Self = Self(22);
    /// `INCONSISTENT_GROUP_PROTOCOL`
    pub const INCONSISTENT_GROUP_PROTOCOL: Self = Self(23);
    /// `INVALID_GROUP_ID`
    pub const INVALID_GROUP_ID: Self = Self(24);
    /// `UNKNOWN_MEMBER_ID`
    pub const UNKNOWN_MEMBER_ID: Self = Self(25);
    /// `INVALID_SESSION_TIMEOUT`
    pub const INVALID_SESSION_TIMEOUT: Self = Self(26);
    /// `REBALANCE_IN_PROGRESS`
    pub const REBALANCE_IN_PROGRESS: Self = Self(27);
    /// `TOPIC_AUTHORIZATION_FAILED`
    pub const TOPIC_AUTHORIZATION_FAILED: Self = Self(29);
    /// `GROUP_AUTHORIZATION_FAILED`
    pub const GROUP_AUTHORIZATION_FAILED: Self = Self(30);
    /// `CLUSTER_AUTHORIZATION_FAILED`
    pub const CLUSTER_AUTHORIZATION_FAILED: Self = Self(31);
    /// `UNSUPPORTED_SASL_MECHANISM`
    pub const UNSUPPORTED_SASL_MECHANISM: Self = Self(33);
    /// `ILLEGAL_SASL_STATE`
    pub const ILLEGAL_SASL_STATE: Self = Self(34);
    /// `UNSUPPORTED_VERSION`
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    /// `TOPIC_ALREADY_EXISTS`
    pub const TOPIC_ALREADY_EXISTS: Self = Self(36);
    /// `INVALID_PARTITIONS`
    pub const INVALID_PARTITIONS: Self = Self(37);
    /// `INVALID_REPLICATION_FACTOR`
    pub const INVALID_REPLICATION_FACTOR: Self = Self(38);
    /// `INVALID_REPLICA_ASSIGNMENT`
    pub const INVALID_REPLICA_ASSIGNMENT: Self = Self(39);
    /// `INVALID_CONFIG`
    pub const INVALID_CONFIG: Self = Self(40);
    /// `NOT_CONTROLLER`
    pub const NOT_CONTROLLER: Self = Self(41);
    /// `INVALID_REQUEST`
    pub const INVALID_REQUEST: Self = Self(42);
    /// `POLICY_VIOLATION`
    pub const POLICY_VIOLATION: Self = Self(44);
    /// `OUT_OF_ORDER_SEQUENCE_NUMBER`
    pub const OUT_OF_ORDER_SEQUENCE_NUMBER: Self = Self(45);
    /// `DUPLICATE_SEQUENCE_NUMBER`
    pub const DUPLICATE_SEQUENCE_NUMBER: Self = Self(46);
    /// `INVALID_PRODUCER_EPOCH`
    pub const INVALID_PRODUCER_EPOCH: Self = Self(47);
    /// `INVALID_TXN_STATE`
    pub const INVALID_TXN_STATE: Self = Self(48);
    /// `INVALID_PRODUCER_ID_MAPPING`
    pub const INVALID_PRODUCER_ID_MAPPING: Self = Self(49);
    /// `INVALID_TRANSACTION_TIMEOUT`
    pub const INVALID_TRANSACTION_TIMEOUT: Self = Self(50);
    /// `CONCURRENT_TRANSACTIONS`
    pub const CONCURRENT_TRANSACTIONS: Self = Self(51);
    /// `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`
    pub const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Self = Self(53);
    /// `KAFKA_STORAGE_ERROR`
    pub const KAFKA_STORAGE_ERROR: Self = Self(56);
    /// `SASL_AUTHENTICATION_FAILED`
    pub const SASL_AUTHENTICATION_FAILED: Self = Self(58);
    /// `UNKNOWN_PRODUCER_ID`
    pub const UNKNOWN_PRODUCER_ID: Self = Self(59);
    /// `REASSIGNMENT_IN_PROGRESS`
    pub const REASSIGNMENT_IN_PROGRESS: Self = Self(60);
    /// `DELEGATION_TOKEN_AUTH_DISABLED`
    pub const DELEGATION_TOKEN_AUTH_DISABLED: Self = Self(61);
    /// `DELEGATION_TOKEN_AUTHORIZATION_FAILED`
    pub const DELEGATION_TOKEN_AUTHORIZATION_FAILED: Self = Self(65);
    /// `DELEGATION_TOKEN_EXPIRED`
    pub const DELEGATION_TOKEN_EXPIRED: Self = Self(66);
    /// `NON_EMPTY_GROUP`
    pub const NON_EMPTY_GROUP: Self = Self(68);
    /// `GROUP_ID_NOT_FOUND`
    pub const GROUP_ID_NOT_FOUND: Self = Self(69);
    /// `FETCH_SESSION_ID_NOT_FOUND`
    pub const FETCH_SESSION_ID_NOT_FOUND: Self = Self(70);
    /// `INVALID_FETCH_SESSION_EPOCH`
    pub const INVALID_FETCH_SESSION_EPOCH: Self = Self(71);
    /// `FENCED_LEADER_EPOCH`
    pub const FENCED_LEADER_EPOCH: Self = Self(74);
    /// `UNKNOWN_LEADER_EPOCH`
    pub const UNKNOWN_LEADER_EPOCH: Self = Self(75);
    /// `UNSUPPORTED_COMPRESSION_TYPE`
    pub const UNSUPPORTED_COMPRESSION_TYPE: Self = Self(76);
    /// `STALE_BROKER_EPOCH`
    pub const STALE_BROKER_EPOCH: Self = Self(77);
    /// `OFFSET_NOT_AVAILABLE`
    pub const OFFSET_NOT_AVAILABLE: Self = Self(78);
    /// `MEMBER_ID_REQUIRED`
    pub const MEMBER_ID_REQUIRED: Self = Self(79);
    /// `GROUP_MAX_SIZE_REACHED`
    pub const GROUP_MAX_SIZE_REACHED: Self = Self(81);
    /// `FENCED_INSTANCE_ID`
    pub const FENCED_INSTANCE_ID: Self = Self(82);
    /// `ELIGIBLE_LEADERS_NOT_AVAILABLE`
    pub const ELIGIBLE_LEADERS_NOT_AVAILABLE: Self = Self(83);
    /// `ELECTION_NOT_NEEDED`
    pub const ELECTION_NOT_NEEDED: Self = Self(84);
    /// `UNSTABLE_OFFSET_COMMIT`
    pub const UNSTABLE_OFFSET_COMMIT: Self = Self(88);
    /// `PRODUCER_FENCED`
    pub const PRODUCER_FENCED: Self = Self(90);
    /// `RESOURCE_NOT_FOUND`
    pub const RESOURCE_NOT_FOUND: Self = Self(91);
    /// `UNACCEPTABLE_CREDENTIAL`
    pub const UNACCEPTABLE_CREDENTIAL: Self = Self(93);
    /// `UNKNOWN_TOPIC_ID`
    pub const UNKNOWN_TOPIC_ID: Self = Self(100);
    /// `FETCH_SESSION_TOPIC_ID_ERROR`
    pub const FETCH_SESSION_TOPIC_ID_ERROR: Self = Self(106);
    /// `INELIGIBLE_REPLICA`
    pub const INELIGIBLE_REPLICA: Self = Self(107);
    /// `FENCED_MEMBER_EPOCH`
    pub const FENCED_MEMBER_EPOCH: Self = Self(110);
    /// `UNRELEASED_INSTANCE_ID`
    pub const UNRELEASED_INSTANCE_ID: Self = Self(111);
    /// `UNSUPPORTED_ASSIGNOR`
    pub const UNSUPPORTED_ASSIGNOR: Self = Self(112);
    /// `STALE_MEMBER_EPOCH`
    pub const STALE_MEMBER_EPOCH: Self = Self(113);
    /// `TRANSACTION_ABORTABLE`
    pub const TRANSACTION_ABORTABLE: Self = Self(120);
    /// `INVALID_REGULAR_EXPRESSION`
    pub const INVALID_REGULAR_EXPRESSION: Self = Self(128);

    /// Reads an `error_code` field: `Ok` for zero.
    ///
    /// # Errors
    /// The code, if it is any other number.
    pub fn check(error_code: i16) -> Result<(), Self> {
        if error_code == 0 { Ok(()) } else { Err(Self(error_code)) }
    }

    /// The number on the wire.
    pub fn code(self) -> i16 {
        self.0
    }

    /// Whether the same request may succeed later without anyone changing anything.
    pub fn is_retriable(self) -> bool {
        matches!(
            self.0,
            2 | 3 | 5 | 6 | 7 | 8 | 9 | 13..=16 | 19 | 20 | 41 | 51 | 56 | 70..=72 | 74 | 75 | 78 | 80 | 83 | 84 | 88 | 89 | 100 | 103 | 106
        )
    }

    /// Whether this code says that what the client knows of topics and leaders is out of date.
    pub fn refreshes_metadata(self) -> bool {
        matches!(self.0, 3 | 5 | 6 | 9 | 13 | 56 | 72 | 74 | 80 | 83 | 84 | 100 | 103)
    }

    /// Whether the next fetch has to begin a new session (KIP-227).
    pub fn ends_fetch_session(self) -> bool {
        matches!(
            self,
            Self::FETCH_SESSION_ID_NOT_FOUND | Self::INVALID_FETCH_SESSION_EPOCH | Self::FETCH_SESSION_TOPIC_ID_ERROR
        )
    }

    /// Whether the coordinator that was asked is not, or no longer, the one to ask.
    pub fn moves_coordinator(self) -> bool {
        matches!(self.0, 15 | 16)
    }

    /// Whether an access rule refused the request: waiting does not mend it, a changed rule does.
    pub fn is_authorization(self) -> bool {
        matches!(self.0, 29 | 30 | 31 | 53 | 65)
    }

    /// Whether this client knows what the code means.
    pub fn is_known(self) -> bool {
        (-1..=133).contains(&self.0)
    }

    /// The name that Kafka's own documentation and logs use.
    pub fn name(self) -> &'static str {
        match self.0 {
            -1 => "UNKNOWN_SERVER_ERROR",
            1 => "OFFSET_OUT_OF_RANGE",
            2 => "CORRUPT_MESSAGE",
            3 => "UNKNOWN_TOPIC_OR_PARTITION",
            4 => "INVALID_FETCH_SIZE",
            5 => "LEADER_NOT_AVAILABLE",
            6 => "NOT_LEADER_OR_FOLLOWER",
            7 => "REQUEST_TIMED_OUT",
            8 => "BROKER_NOT_AVAILABLE",
            9 => "REPLICA_NOT_AVAILABLE",
            10 => "MESSAGE_TOO_LARGE",
            11 => "STALE_CONTROLLER_EPOCH",
            12 => "OFFSET_METADATA_TOO_LARGE",
            13 => "NETWORK_EXCEPTION",
            14 => "COORDINATOR_LOAD_IN_PROGRESS",
            15 => "COORDINATOR_NOT_AVAILABLE",
            16 => "NOT_COORDINATOR",
            17 => "INVALID_TOPIC_EXCEPTION",
            18 => "RECORD_LIST_TOO_LARGE",
            19 => "NOT_ENOUGH_REPLICAS",
            20 => "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
            21 => "INVALID_REQUIRED_ACKS",
            22 => "ILLEGAL_GENERATION",
            23 => "INCONSISTENT_GROUP_PROTOCOL",
            24 => "INVALID_GROUP_ID",
            25 => "UNKNOWN_MEMBER_ID",
            26 => "INVALID_SESSION_TIMEOUT",
            27 => "REBALANCE_IN_PROGRESS",
            28 => "INVALID_COMMIT_OFFSET_SIZE",
            29 => "TOPIC_AUTHORIZATION_FAILED",
            30 => "GROUP_AUTHORIZATION_FAILED",
            31 => "CLUSTER_AUTHORIZATION_FAILED",
            32 => "INVALID_TIMESTAMP",
            33 => "UNSUPPORTED_SASL_MECHANISM",
            34 => "ILLEGAL_SASL_STATE",
            35 => "UNSUPPORTED_VERSION",
            36 => "TOPIC_ALREADY_EXISTS",
            37 => "INVALID_PARTITIONS",
            38 => "INVALID_REPLICATION_FACTOR",
            39 => "INVALID_REPLICA_ASSIGNMENT",
            40 => "INVALID_CONFIG",
            41 => "NOT_CONTROLLER",
            42 => "INVALID_REQUEST",
            43 => "UNSUPPORTED_FOR_MESSAGE_FORMAT",
            44 => "POLICY_VIOLATION",
            45 => "OUT_OF_ORDER_SEQUENCE_NUMBER",
            46 => "DUPLICATE_SEQUENCE_NUMBER",
            47 => "INVALID_PRODUCER_EPOCH",
            48 => "INVALID_TXN_STATE",
            49 => "INVALID_PRODUCER_ID_MAPPING",
            50 => "INVALID_TRANSACTION_TIMEOUT",
            51 => "CONCURRENT_TRANSACTIONS",
            52 => "TRANSACTION_COORDINATOR_FENCED",
            53 => "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
            54 => "SECURITY_DISABLED",
            55 => "OPERATION_NOT_ATTEMPTED",
            56 => "KAFKA_STORAGE_ERROR",
            57 => "LOG_DIR_NOT_FOUND",
            58 => "SASL_AUTHENTICATION_FAILED",
            59 => "UNKNOWN_PRODUCER_ID",
            60 => "REASSIGNMENT_IN_PROGRESS",
            61 => "DELEGATION_TOKEN_AUTH_DISABLED",
            62 => "DELEGATION_TOKEN_NOT_FOUND",
            63 => "DELEGATION_TOKEN_OWNER_MISMATCH",
            64 => "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED",
            65 => "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
            66 => "DELEGATION_TOKEN_EXPIRED",
            67 => "INVALID_PRINCIPAL_TYPE",
            68 => "NON_EMPTY_GROUP",
            69 => "GROUP_ID_NOT_FOUND",
            70 => "FETCH_SESSION_ID_NOT_FOUND",
            71 => "INVALID_FETCH_SESSION_EPOCH",
            72 => "LISTENER_NOT_FOUND",
            73 => "TOPIC_DELETION_DISABLED",
            74 => "FENCED_LEADER_EPOCH",
            75 => "UNKNOWN_LEADER_EPOCH",
            76 => "UNSUPPORTED_COMPRESSION_TYPE",
            77 => "STALE_BROKER_EPOCH",
            78 => "OFFSET_NOT_AVAILABLE",
            79 => "MEMBER_ID_REQUIRED",
            80 => "PREFERRED_LEADER_NOT_AVAILABLE",
            81 => "GROUP_MAX_SIZE_REACHED",
            82 => "FENCED_INSTANCE_ID",
            83 => "ELIGIBLE_LEADERS_NOT_AVAILABLE",
            84 => "ELECTION_NOT_NEEDED",
            85 => "NO_REASSIGNMENT_IN_PROGRESS",
            86 => "GROUP_SUBSCRIBED_TO_TOPIC",
            87 => "INVALID_RECORD",
            88 => "UNSTABLE_OFFSET_COMMIT",
            89 => "THROTTLING_QUOTA_EXCEEDED",
            90 => "PRODUCER_FENCED",
            91 => "RESOURCE_NOT_FOUND",
            92 => "DUPLICATE_RESOURCE",
            93 => "UNACCEPTABLE_CREDENTIAL",
            94 => "INCONSISTENT_VOTER_SET",
            95 => "INVALID_UPDATE_VERSION",
            96 => "FEATURE_UPDATE_FAILED",
            97 => "PRINCIPAL_DESERIALIZATION_FAILURE",
            98 => "SNAPSHOT_NOT_FOUND",
            99 => "POSITION_OUT_OF_RANGE",
            100 => "UNKNOWN_TOPIC_ID",
            101 => "DUPLICATE_BROKER_REGISTRATION",
            102 => "BROKER_ID_NOT_REGISTERED",
            103 => "INCONSISTENT_TOPIC_ID",
            104 => "INCONSISTENT_CLUSTER_ID",
            105 => "TRANSACTIONAL_ID_NOT_FOUND",
            106 => "FETCH_SESSION_TOPIC_ID_ERROR",
            107 => "INELIGIBLE_REPLICA",
            108 => "NEW_LEADER_ELECTED",
            109 => "OFFSET_MOVED_TO_TIERED_STORAGE",
            110 => "FENCED_MEMBER_EPOCH",
            111 => "UNRELEASED_INSTANCE_ID",
            112 => "UNSUPPORTED_ASSIGNOR",
            113 => "STALE_MEMBER_EPOCH",
            114 => "MISMATCHED_ENDPOINT_TYPE",
            115 => "UNSUPPORTED_ENDPOINT_TYPE",
            116 => "UNKNOWN_CONTROLLER_ID",
            117 => "UNKNOWN_SUBSCRIPTION_ID",
            118 => "TELEMETRY_TOO_LARGE",
            119 => "INVALID_REGISTRATION",
            120 => "TRANSACTION_ABORTABLE",
            121 => "INVALID_RECORD_STATE",
            122 => "SHARE_SESSION_NOT_FOUND",
            123 => "INVALID_SHARE_SESSION_EPOCH",
            124 => "FENCED_STATE_EPOCH",
            125 => "INVALID_VOTER_KEY",
            126 => "DUPLICATE_VOTER",
            127 => "VOTER_NOT_FOUND",
            128 => "INVALID_REGULAR_EXPRESSION",
            129 => "REBOOTSTRAP_REQUIRED",
            130 => "STREAMS_INVALID_TOPOLOGY",
            131 => "STREAMS_INVALID_TOPOLOGY_EPOCH",
            132 => "STREAMS_TOPOLOGY_FENCED",
            133 => "SHARE_SESSION_LIMIT_REACHED",
            _ => "UNKNOWN_ERROR_CODE",
        }
    }
}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> Self {
        Self(code)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_shows_its_name_and_number() {
        assert_eq!(ErrorCode::from(29).to_string(), "TOPIC_AUTHORIZATION_FAILED (29)");
        assert_eq!(ErrorCode::from(9999).to_string(), "UNKNOWN_ERROR_CODE (9999)");
    }

    #[test]
    fn every_code_that_forces_a_metadata_refresh_is_retriable() {
        for code in -1..200 {
            let code = ErrorCode::from(code);
            assert!(!code.refreshes_metadata() || code.is_retriable(), "{code}");
            assert!(!code.is_authorization() || !code.is_retriable(), "{code}");
        }
    }

    #[test]
    fn zero_is_no_error() {
        assert_eq!(ErrorCode::check(0), Ok(()));
        assert_eq!(ErrorCode::check(3), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }
}
