//! The service: read pick lists, show them, say that they were shown.

use std::borrow::Cow;
use std::io::Write;

use grocery_events::{AuditError, AuditLog, Catalogue, Event, GroceryPicklist};
use kafka::{ConsumerEvent, RecordBatch};
use schema_registry::AvroDeserializer;
use service_kit::{Commits, Context, LOOK, Lag, Progress, ServiceError};
use uuid::Uuid;

use crate::recent::Recent;
use crate::screen::Instructions;
use crate::{Args, Format};

/// The group that shares the pick lists.
pub const GROUP: &str = "picklist-consumer-group";

/// Shows pick lists until the shutdown. A list is committed after it was shown: after a crash it may be shown again, but none
/// is left out. One that fulfilment has sent twice is shown once.
///
/// # Errors
/// What waiting does not mend.
pub async fn run(context: Context, args: Args) -> Result<(), ServiceError> {
    let mut device = Device::new(&args)?;
    let registry = context.registry()?;
    let lists = GroceryPicklist::reader(&registry).map_err(ServiceError::Internal)?;
    let settings = context.config.consumer(GROUP, &[context.config.picklists_topic()])?;
    let mut lag = Lag::of(&context);
    let Some(cluster) = context.connect().await? else { return Ok(()) };
    let mut consumer = cluster.consumer_with(settings).await?;
    let mut commits = Commits::default();
    let mut recent = Recent::default();
    let shown = Progress::of("pick lists shown");
    let mut looks = tokio::time::interval(LOOK);
    loop {
        let event = tokio::select! {
            biased;
            () = context.shutdown.cancelled() => break,
            _ = looks.tick() => {
                lag.look(&consumer);
                continue;
            }
            answer = commits.answer() => {
                commits.settle(&consumer, answer)?;
                continue;
            }
            event = consumer.next_event() => event?,
        };
        match event {
            Some(ConsumerEvent::Batch(batch)) => {
                let Some(count) = show(&context, &lists, &batch, &mut device, &mut recent).await? else { break };
                shown.add(count);
                commits.done(&consumer, &consumer.positions_of(&batch));
            }
            Some(ConsumerEvent::Revoking(revocation)) => {
                commits.all(&consumer).await?;
                drop(revocation);
            }
            Some(ConsumerEvent::Lost(partitions)) => commits.forget(&partitions),
            Some(_) => {}
            None => break,
        }
    }
    commits.all(&consumer).await?;
    tracing::info!("leaving the group after {} pick lists", shown.total());
    consumer.close().await?;
    Ok(())
}

/// Shows a batch; `None` if a shutdown came before its end, so that it must not be committed.
async fn show(
    context: &Context,
    lists: &AvroDeserializer<GroceryPicklist>,
    batch: &RecordBatch,
    device: &mut Device,
    recent: &mut Recent,
) -> Result<Option<u64>, ServiceError> {
    let at = batch.topic_partition();
    let mut count = 0;
    for record in batch {
        context.metrics.records_in(1);
        let Some(list) = context.read(lists, at, record).await? else {
            if context.shutdown.is_cancelled() {
                return Ok(None);
            }
            continue;
        };
        let valid = list.validate().map_err(|broken| broken.to_string());
        let id = valid.and_then(|()| Uuid::parse_str(&list.picklist_id).map_err(|error| error.to_string()));
        let id = match id {
            Ok(id) => id,
            Err(reason) => {
                context.set_aside(at, record.offset(), &reason);
                continue;
            }
        };
        if !recent.is_new(id) {
            tracing::info!(order = list.order_id, "left out a pick list that was shown before");
            continue;
        }
        device.add(&list).map_err(unwritable)?;
        count += 1;
    }
    device.show()?;
    context.metrics.records_out(count);
    Ok(Some(count))
}

/// The store device: standard output, and the list of what it showed.
struct Device {
    format: Format,
    catalogue: Cow<'static, Catalogue>,
    screen: String,
    audit: AuditLog,
}

impl Device {
    fn new(args: &Args) -> Result<Self, ServiceError> {
        let catalogue = match &args.catalogue {
            None => Cow::Borrowed(Catalogue::builtin()),
            Some(path) => Cow::Owned(Catalogue::read(path).map_err(|error| ServiceError::Usage(error.to_string()))?),
        };
        let audit = AuditLog::append(args.audit.as_deref()).map_err(unwritable)?;
        Ok(Self { format: args.format, catalogue, screen: String::new(), audit })
    }

    fn add(&mut self, list: &GroceryPicklist) -> Result<(), AuditError> {
        let instructions = Instructions::new(list, &self.catalogue);
        match self.format {
            Format::Text => instructions.write_text(&mut self.screen),
            Format::Json => instructions.write_json(&mut self.screen),
            Format::Quiet => {}
        }
        self.audit.line(format_args!("{} {}", list.order_id, list.picklist_id))
    }

    /// Shows what was added, then writes down that it was shown.
    fn show(&mut self) -> Result<(), ServiceError> {
        let written = std::io::stdout().lock().write_all(self.screen.as_bytes());
        self.screen.clear();
        written.map_err(|error| ServiceError::Usage(format!("standard output takes no pick lists: {error}")))?;
        self.audit.flush().map_err(unwritable)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn unwritable(error: AuditError) -> ServiceError {
    ServiceError::Usage(error.to_string())
}
