//! The room: a service whose members have a channel each way.

use std::{collections::BTreeMap, sync::Arc};

use qmesh::{prelude::*, stream};
use tokio::sync::Mutex;

/// A room to talk in.
#[qmesh::service(name = "chat.Room")]
pub(crate) trait Room {
    /// What you say reaches everyone else, what they say reaches you. Finish, and you have left.
    async fn join(&mut self, cx: &Context, name: String, said: Receiver<String>) -> Receiver<Heard>;
}

/// What a member hears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Heard {
    /// Somebody said something.
    Said {
        /// Who.
        who: String,
        /// What.
        text: String,
    },
    /// So many lines were said while this member did not read.
    Missed(u64),
}

/// The members by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members(Arc<Mutex<BTreeMap<String, Member>>>);

/// Somebody in the room, and what they could not be told.
#[derive(Debug)]
struct Member {
    to: Sender<Heard>,
    missed: u64,
}

impl Member {
    /// Never waits: the room goes on without those who do not read.
    fn tell(&mut self, heard: Heard) {
        if self.missed > 0 && self.to.try_send(Heard::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        if self.missed > 0 || self.to.try_send(heard).is_err() {
            self.missed += 1;
        }
    }
}

impl Room for Members {
    async fn join(&mut self, cx: &Context, name: String, mut said: Receiver<String>) -> Receiver<Heard> {
        // Lines that wait for this member here; as many bytes again as the channel to it has room for.
        let (to, heard) = stream(16);
        let members = Arc::clone(&self.0);
        members.lock().await.insert(name.clone(), Member { to, missed: 0 });
        let draining = cx.draining();
        cx.spawn(async move {
            let talks = async {
                while let Ok(Some(text)) = said.recv().await {
                    let line = Heard::Said { who: name.clone(), text };
                    let mut members = members.lock().await;
                    members
                        .iter_mut()
                        .filter(|(member, _)| **member != name)
                        .for_each(|(_, member)| member.tell(line.clone()));
                }
            };
            // It leaves when it has finished, when it is cut, and when the room's node shuts down: nobody else ends a talk.
            tokio::select! {
                () = talks => {}
                () = draining => {}
            }
            if let Some(member) = members.lock().await.remove(&name) {
                member.to.finish();
            }
        });
        heard
    }
}
