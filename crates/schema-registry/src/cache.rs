//! Answers that stay true, each asked for once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use crate::error::RegistryError;

type Asking<V> = Shared<BoxFuture<'static, Result<Arc<V>, RegistryError>>>;

/// Answers by what was asked. Whoever asks while the question is under way shares its answer, and its error: an outage is
/// waited for once and not by each in turn. The lock is held for a look, never over a request.
pub(crate) struct Cache<K, V> {
    answers: Mutex<HashMap<K, Answer<V>>>,
}

enum Answer<V> {
    Known(Arc<V>),
    /// Kept alive by those who wait for it.
    Asked(WeakShared<BoxFuture<'static, Result<Arc<V>, RegistryError>>>),
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { answers: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone, V: Send + Sync + 'static> Cache<K, V> {
    /// The answer to `key`, asked for by `ask` unless it is known or being asked for. An error is not kept: what does not exist
    /// must not fill the memory. Cancel safe.
    pub(crate) async fn get<F>(&self, key: K, ask: F) -> Result<Arc<V>, RegistryError>
    where
        F: Future<Output = Result<V, RegistryError>> + Send + 'static,
    {
        let asking: Asking<V> = {
            let mut answers = self.lock();
            let under_way = match answers.get(&key) {
                Some(Answer::Known(known)) => return Ok(Arc::clone(known)),
                Some(Answer::Asked(asking)) => asking.upgrade(),
                None => None,
            };
            under_way.unwrap_or_else(|| {
                let asking = ask.map(|answer| answer.map(Arc::new)).boxed().shared();
                if let Some(weak) = asking.downgrade() {
                    answers.insert(key.clone(), Answer::Asked(weak));
                }
                asking
            })
        };
        let answer = asking.await;
        let mut answers = self.lock();
        match &answer {
            Ok(known) => {
                answers.insert(key, Answer::Known(Arc::clone(known)));
            }
            Err(_) if matches!(answers.get(&key), Some(Answer::Asked(_))) => {
                answers.remove(&key);
            }
            Err(_) => {}
        }
        answer
    }

    /// Forgets the answers for which `keep` does not hold.
    pub(crate) fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.lock().retain(|key, _| keep(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Answer<V>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::channel::oneshot;
    use futures::future::join_all;

    use super::*;

    fn away() -> RegistryError {
        RegistryError::Unavailable { what: "x".into(), url: "u".into(), attempts: 4, reason: "refused".into() }
    }

    #[tokio::test]
    async fn an_outage_is_waited_for_once_by_all_and_not_remembered() {
        let cache = Cache::<i32, String>::default();
        let asked = Arc::new(AtomicU32::new(0));
        let all = |outcome: Result<String, RegistryError>| {
            // Nothing is answered before everybody has asked.
            let (open, gate) = oneshot::channel::<()>();
            let gate = gate.shared();
            let crowd = join_all((0..20).map(|_| {
                let (asked, gate, outcome) = (Arc::clone(&asked), gate.clone(), outcome.clone());
                cache.get(7, async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    gate.await.unwrap();
                    outcome
                })
            }));
            async move { futures::join!(crowd, async { open.send(()).ok() }).0 }
        };
        assert!(all(Err(away())).await.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let schema = Ok("schema".to_owned());
        assert!(all(schema).await.iter().all(|outcome| **outcome.as_ref().unwrap() == "schema"));
        assert!(all(Err(away())).await.iter().all(Result::is_ok));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        cache.retain(|key| *key != 7);
        cache.get(7, async { Err(away()) }).await.unwrap_err();
    }

    #[tokio::test]
    async fn one_who_stops_waiting_leaves_the_question_to_the_others() {
        let cache = Cache::<i32, i32>::default();
        let (word, heard) = oneshot::channel::<i32>();
        let mut first = Box::pin(cache.get(1, async move { Ok(heard.await.unwrap()) }));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(cache.get(1, async { unreachable!("it is being asked already") }));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        word.send(42).unwrap();
        assert_eq!(*second.await.unwrap(), 42);
    }
}
