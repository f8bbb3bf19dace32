//! A topic's configuration: the keys that the sandbox knows, their defaults and what they mean for the log.

use std::collections::BTreeMap;

use crate::log::{Retention, TimestampType};

/// Types of `DescribeConfigs` answers (`ConfigType`).
#[derive(Debug, Clone, Copy)]
enum Kind {
    Int,
    Long,
    Double,
    Text(&'static [&'static str]),
    List(&'static [&'static str]),
}

struct Known {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// The smallest number allowed.
    least: i64,
}

const fn long(name: &'static str, default: &'static str, least: i64) -> Known {
    Known { name, default, kind: Kind::Long, least }
}

const fn int(name: &'static str, default: &'static str, least: i64) -> Known {
    Known { name, default, kind: Kind::Int, least }
}

const fn text(name: &'static str, default: &'static str, allowed: &'static [&'static str]) -> Known {
    Known { name, default, kind: Kind::Text(allowed), least: 0 }
}

const fn list(name: &'static str, default: &'static str, allowed: &'static [&'static str]) -> Known {
    Known { name, default, kind: Kind::List(allowed), least: 0 }
}

/// In the order of their names, with Kafka's defaults. Compaction is accepted and not done: the sandbox keeps what retention keeps.
const KNOWN: &[Known] = &[
    list("cleanup.policy", "delete", &["delete", "compact"]),
    int("compression.gzip.level", "-1", -1),
    int("compression.lz4.level", "9", 1),
    text("compression.type", "producer", &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
    int("compression.zstd.level", "3", -131_072),
    long("delete.retention.ms", "86400000", 0),
    long("file.delete.delay.ms", "60000", 0),
    long("flush.messages", "9223372036854775807", 1),
    long("flush.ms", "9223372036854775807", 0),
    list("follower.replication.throttled.replicas", "", &[]),
    int("index.interval.bytes", "4096", 0),
    list("leader.replication.throttled.replicas", "", &[]),
    long("local.retention.bytes", "-2", -2),
    long("local.retention.ms", "-2", -2),
    long("max.compaction.lag.ms", "9223372036854775807", 1),
    int("max.message.bytes", "1048588", 0),
    long("message.timestamp.after.max.ms", "3600000", 0),
    long("message.timestamp.before.max.ms", "9223372036854775807", 0),
    text("message.timestamp.type", "CreateTime", &["CreateTime", "LogAppendTime"]),
    Known { name: "min.cleanable.dirty.ratio", default: "0.5", kind: Kind::Double, least: 0 },
    long("min.compaction.lag.ms", "0", 0),
    int("min.insync.replicas", "1", 1),
    text("preallocate", "false", &["true", "false"]),
    text("remote.log.copy.disable", "false", &["true", "false"]),
    text("remote.log.delete.on.disable", "false", &["true", "false"]),
    text("remote.storage.enable", "false", &["true", "false"]),
    long("retention.bytes", "-1", -1),
    long("retention.ms", "604800000", -1),
    int("segment.bytes", "1073741824", 14),
    int("segment.index.bytes", "10485760", 4),
    long("segment.jitter.ms", "0", 0),
    long("segment.ms", "604800000", 1),
    text("unclean.leader.election.enable", "false", &["true", "false"]),
];

/// One line of a `DescribeConfigs` answer.
pub(crate) struct Setting<'a> {
    pub(crate) name: &'static str,
    pub(crate) value: &'a str,
    pub(crate) default: &'static str,
    pub(crate) is_default: bool,
    pub(crate) config_type: i8,
}

/// What was set for one topic; everything else has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TopicSettings(BTreeMap<String, String>);

fn known(name: &str) -> Result<&'static Known, String> {
    KNOWN.iter().find(|known| known.name == name).ok_or_else(|| format!("Unknown topic config name: {name}"))
}

impl TopicSettings {
    /// Sets `name`; the text of an error is for the client.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let known = known(name)?;
        let invalid = |why: &str| Err(format!("Invalid value {value} for configuration {name}: {why}"));
        match known.kind {
            Kind::Int | Kind::Long => match value.trim().parse::<i64>() {
                Err(_) => return invalid("Not a number"),
                Ok(number) if number < known.least => {
                    return invalid(&format!("Value must be at least {}", known.least));
                }
                Ok(number) if matches!(known.kind, Kind::Int) && number > i64::from(i32::MAX) => {
                    return invalid("Not a number of type INT");
                }
                Ok(_) => {}
            },
            Kind::Text(allowed) if !allowed.is_empty() && !allowed.contains(&value) => {
                return invalid(&format!("String must be one of: {}", allowed.join(", ")));
            }
            Kind::Double => match value.trim().parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => {}
                _ => return invalid("Not a number between 0 and 1"),
            },
            Kind::List(allowed)
                if !allowed.is_empty() && value.split(',').any(|item| !allowed.contains(&item.trim())) =>
            {
                return invalid(&format!("Each of the list must be one of: {}", allowed.join(", ")));
            }
            Kind::Text(_) | Kind::List(_) => {}
        }
        self.0.insert(name.to_owned(), value.trim().to_owned());
        Ok(())
    }

    /// Goes back to the default.
    pub(crate) fn reset(&mut self, name: &str) -> Result<(), String> {
        self.0.remove(known(name)?.name);
        Ok(())
    }

    /// Adds to (or takes from) a list such as `cleanup.policy`.
    pub(crate) fn change_list(&mut self, name: &str, value: &str, add: bool) -> Result<(), String> {
        let known = known(name)?;
        if !matches!(known.kind, Kind::List(_)) {
            return Err(format!("Config value append is not allowed for config key: {name}"));
        }
        let mut items: Vec<&str> = self.get(known).split(',').filter(|item| !item.is_empty()).collect();
        for item in value.split(',') {
            items.retain(|present| *present != item);
            if add {
                items.push(item);
            }
        }
        let joined = items.join(",");
        self.set(name, &joined)
    }

    fn get(&self, known: &'static Known) -> &str {
        self.0.get(known.name).map_or(known.default, String::as_str)
    }

    fn number(&self, name: &str) -> i64 {
        known(name).ok().and_then(|known| self.get(known).parse().ok()).unwrap_or(-1)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Setting<'_>> {
        KNOWN.iter().map(|known| Setting {
            name: known.name,
            value: self.get(known),
            default: known.default,
            is_default: !self.0.contains_key(known.name),
            config_type: match known.kind {
                Kind::Text(["true", "false"]) => 1,
                Kind::Text(_) => 2,
                Kind::Int => 3,
                Kind::Long => 5,
                Kind::Double => 6,
                Kind::List(_) => 7,
            },
        })
    }

    pub(crate) fn retention(&self) -> Retention {
        Retention {
            ms: Some(self.number("retention.ms")).filter(|ms| *ms >= 0),
            bytes: usize::try_from(self.number("retention.bytes")).ok(),
        }
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        usize::try_from(self.number("max.message.bytes")).unwrap_or_default()
    }

    pub(crate) fn timestamp_type(&self) -> TimestampType {
        match self.0.get("message.timestamp.type").map(String::as_str) {
            Some("LogAppendTime") => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_refused_with_its_reason() {
        let mut settings = TopicSettings::default();
        assert!(settings.set("retention.ms", "soon").unwrap_err().contains("Not a number"));
        assert!(settings.set("retention.ms", "-2").unwrap_err().contains("at least -1"));
        assert!(settings.set("min.cleanable.dirty.ratio", "1.5").unwrap_err().contains("between 0 and 1"));
        assert!(settings.set("cleanup.policy", "keep").unwrap_err().contains("delete, compact"));
        assert!(settings.set("retention.days", "7").unwrap_err().contains("Unknown topic config name: retention.days"));
        assert_eq!(settings, TopicSettings::default());
    }

    #[test]
    fn settings_stand_in_the_order_of_their_names_and_their_defaults_are_allowed() {
        assert!(KNOWN.is_sorted_by_key(|known| known.name));
        for known in KNOWN {
            TopicSettings::default().set(known.name, known.default).unwrap();
        }
    }

    #[test]
    fn settings_reach_the_log_and_go_back_to_their_defaults() {
        let mut settings = TopicSettings::default();
        assert_eq!(settings.retention(), Retention { ms: Some(604_800_000), bytes: None });
        settings.set("retention.ms", "-1").unwrap();
        settings.set("retention.bytes", "1000").unwrap();
        settings.set("message.timestamp.type", "LogAppendTime").unwrap();
        assert_eq!(settings.retention(), Retention { ms: None, bytes: Some(1000) });
        assert_eq!(settings.timestamp_type(), TimestampType::LogAppendTime);
        settings.reset("retention.ms").unwrap();
        assert_eq!(settings.retention().ms, Some(604_800_000));
        settings.change_list("cleanup.policy", "compact", true).unwrap();
        assert_eq!(settings.all().find(|setting| setting.name == "cleanup.policy").unwrap().value, "delete,compact");
    }
}
