//! How each fault is done to the running pipeline, and undone.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::{Mutex, oneshot};

use crate::ChaosError;
use crate::fleet::Fleet;
use crate::place::Place;
use crate::plan::{Fault, Kind};
use crate::processes::Service;
use crate::proxy::{Mode, Proxy};

/// What a slow connection still does.
const SLOW: Mode = Mode::Slow { delay: Duration::from_millis(150), bytes_per_second: 64 * 1024 };

/// In a storm a further instance of fulfilment lives or stays away for so long at most.
const STORM_LONGEST: Duration = Duration::from_millis(1_200);

/// Everything that a fault can strike.
pub(crate) struct Victims<'a> {
    /// Brokers, provider, registry and their proxies.
    pub(crate) place: &'a Place,
    /// The services.
    pub(crate) fleet: &'a Fleet,
    /// Where logs go.
    pub(crate) logs: &'a Path,
    /// Held by whoever takes a broker away, until the cluster is whole again.
    pub(crate) brokers: Mutex<()>,
}

impl Victims<'_> {
    /// Does what the fault says and returns when it is over. The moment from which recovery counts is sent as soon as it is
    /// known: when the fault strikes, or, while nothing can move, when it is lifted.
    ///
    /// # Errors
    /// A server that was taken away does not come back.
    pub(crate) async fn strike(&self, fault: &Fault, moment: oneshot::Sender<Instant>) -> Result<(), ChaosError> {
        match fault.kind {
            kind if kind.takes_a_broker() => self.strike_broker(fault, moment).await,
            Kind::Cut | Kind::HalfOpen | Kind::Slow | Kind::Refused => {
                self.strike_connections(fault, moment).await;
                Ok(())
            }
            Kind::ProviderDown => {
                self.place.provider.set(Mode::Refuse);
                begins(moment);
                tokio::time::sleep(fault.lasts).await;
                self.place.provider.set(Mode::Pass);
                Ok(())
            }
            Kind::RegistryDown => {
                self.place.registry.set(Mode::Refuse);
                self.fleet.fulfillment(fault.which).signal(Signal::KILL);
                tokio::time::sleep(fault.lasts).await;
                self.place.registry.set(Mode::Pass);
                begins(moment);
                Ok(())
            }
            Kind::RebalanceStorm => {
                self.storm(fault).await;
                begins(moment);
                Ok(())
            }
            _ => {
                self.strike_service(fault, moment).await;
                Ok(())
            }
        }
    }

    async fn strike_broker(&self, fault: &Fault, moment: oneshot::Sender<Instant>) -> Result<(), ChaosError> {
        let _alone = self.brokers.lock().await;
        // A cluster that is still short of a broker would stand still with another one gone.
        self.place.in_sync().await?;
        let broker = match fault.kind {
            Kind::RollingRestart => return self.roll(moment).await,
            Kind::GroupCoordinatorKilled | Kind::GroupCoordinatorHeld => {
                self.place.coordinator("__consumer_offsets", fulfillment_service::GROUP).await?
            }
            Kind::TransactionCoordinatorKilled | Kind::TransactionCoordinatorHeld => {
                let id = self.fleet.fulfillment(fault.which).name();
                self.place.coordinator("__transaction_state", id).await.unwrap_or(fault.which)
            }
            _ => fault.which,
        };
        match fault.kind {
            Kind::BrokerHeld | Kind::GroupCoordinatorHeld | Kind::TransactionCoordinatorHeld => {
                self.place.signal_broker(broker, Signal::STOP)?;
                begins(moment);
                tokio::time::sleep(fault.lasts).await;
                self.place.signal_broker(broker, Signal::CONT)?;
            }
            _ => {
                self.place.signal_broker(broker, Signal::KILL)?;
                begins(moment);
                self.place.bring_back(broker, fault.lasts).await;
            }
        }
        Ok(())
    }

    async fn roll(&self, moment: oneshot::Sender<Instant>) -> Result<(), ChaosError> {
        for broker in 0..self.place.brokers.len() {
            self.place.restart(broker).await?;
            self.place.in_sync().await?;
        }
        begins(moment);
        Ok(())
    }

    async fn strike_connections(&self, fault: &Fault, moment: oneshot::Sender<Instant>) {
        // Of one broker, or of all of them when every connection is meant.
        let all = fault.share == 100;
        let hit: Vec<&Proxy> = self
            .place
            .brokers
            .iter()
            .enumerate()
            .filter(|(at, _)| all || *at == fault.which)
            .map(|(_, it)| it)
            .collect();
        let during = match fault.kind {
            Kind::Cut => {
                hit.iter().for_each(|proxy| proxy.cut(fault.share));
                return begins(moment);
            }
            Kind::HalfOpen if !all => {
                // The old ones are dead and nobody was told; new ones are as good as ever.
                hit.iter().for_each(|proxy| proxy.silence(fault.share));
                return begins(moment);
            }
            Kind::HalfOpen => Mode::Silent,
            Kind::Slow => SLOW,
            _ => Mode::Refuse,
        };
        hit.iter().for_each(|proxy| proxy.set(during));
        tokio::time::sleep(fault.lasts).await;
        hit.iter().for_each(|proxy| proxy.set(Mode::Pass));
        begins(moment);
    }

    async fn strike_service(&self, fault: &Fault, moment: oneshot::Sender<Instant>) {
        let service = match fault.kind {
            Kind::ProducerKilled | Kind::ProducerHeld => self.fleet.producer(),
            Kind::ConsumerKilled | Kind::ConsumerHeld => self.fleet.consumer(),
            _ => self.fleet.fulfillment(fault.which),
        };
        match fault.kind {
            Kind::ProducerHeld | Kind::ConsumerHeld | Kind::FulfillmentHeld => {
                service.signal(Signal::STOP);
                tokio::time::sleep(fault.lasts).await;
                service.signal(Signal::CONT);
            }
            Kind::FulfillmentEnded => service.signal(Signal::TERM),
            _ => service.signal(Signal::KILL),
        }
        begins(moment);
    }

    /// A third instance comes and goes, and so does the one that the plan names.
    async fn storm(&self, fault: &Fault) {
        let mut rng = fastrand::Rng::with_seed(u64::from(fault.share) ^ fault.lasts.as_millis() as u64);
        let ends = Instant::now() + fault.lasts;
        let further = self.fleet.instances();
        let mut guest: Option<Service> = None;
        while Instant::now() < ends {
            guest = match guest.take() {
                None => Some(self.fleet.start_fulfillment(further, self.logs)),
                Some(guest) if rng.bool() => {
                    guest.signal(Signal::KILL);
                    Some(guest)
                }
                Some(guest) => {
                    guest.stop().await;
                    None
                }
            };
            if rng.u8(..3) == 0 {
                let other = self.fleet.fulfillment(rng.usize(..further));
                other.signal(if rng.bool() { Signal::TERM } else { Signal::KILL });
            }
            tokio::time::sleep(STORM_LONGEST.mul_f64(rng.f64())).await;
        }
        if let Some(guest) = guest {
            guest.stop().await;
        }
    }
}

/// Recovery counts from now.
fn begins(moment: oneshot::Sender<Instant>) {
    // Nobody measures a run that has been given up.
    let _ = moment.send(Instant::now());
}
