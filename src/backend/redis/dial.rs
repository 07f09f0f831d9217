//! Making a connection: to an address, or to whoever the sentinels say is the master.

use super::address::{Secrets, host_and_port, moved_to};
use super::failure::broken;
use crate::error::Error;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, FromRedisValue, PushInfo, cmd};
use std::time::Duration;
use tokio::time::timeout;

/// Where to connect to.
#[derive(Clone)]
pub(super) enum Dial {
    Address(ConnectionInfo),
    Master {
        sentinels: Vec<ConnectionInfo>,
        service: String,
        like: ConnectionInfo,
    },
}

impl Dial {
    /// How errors call the far side.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Address(info) => info.addr().to_string(),
            Self::Master { service, .. } => format!("master of {service:?}"),
        }
    }

    /// Whether both are the same address.
    pub(super) fn leads_to(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Address(one), Self::Address(other)) if one.addr() == other.addr())
    }

    /// Connects. `life` is dropped when the connection breaks, whoever is the first to notice.
    pub(super) async fn connect<L: Send + Sync + 'static>(
        &self,
        life: L,
        patience: Duration,
        secrets: &Secrets,
    ) -> Result<MultiplexedConnection, Error> {
        match self {
            Self::Address(info) => open(info, life, secrets).await,
            Self::Master {
                sentinels,
                service,
                like,
            } => {
                let info = ask(sentinels, service, like, patience, secrets).await?;
                let mut connection = open(&info, life, secrets).await?;
                let place = info.addr().to_string();
                // Sentinels may be behind: a server that was demoted says so itself.
                match role(&mut connection).await {
                    Ok(role) if role == "master" => Ok(connection),
                    Ok(role) => {
                        let text = format!("{place} is a {role}, not the master of {service:?}");
                        Err(Error::connection(secrets.scrub(text)))
                    }
                    Err(error) => Err(broken(&place, &error, secrets)),
                }
            }
        }
    }
}

async fn open<L: Send + Sync + 'static>(
    info: &ConnectionInfo,
    life: L,
    secrets: &Secrets,
) -> Result<MultiplexedConnection, Error> {
    let broken = |error| broken(&info.addr().to_string(), &error, secrets);
    let client = Client::open(info.clone()).map_err(broken)?;
    // The driver of the connection owns this closure, and drops it when it ends.
    let owns = move |_: PushInfo| {
        let _ = &life;
        Ok::<(), ()>(())
    };
    // No limits inside: whoever waits has one.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_push_sender(owns);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.map_err(broken)
}

/// The address of the master, from the first sentinel that knows it.
async fn ask(
    sentinels: &[ConnectionInfo],
    service: &str,
    like: &ConnectionInfo,
    patience: Duration,
    secrets: &Secrets,
) -> Result<ConnectionInfo, Error> {
    let each = patience / u32::try_from(sentinels.len() + 1).unwrap_or(u32::MAX);
    let mut last = None;
    for sentinel in sentinels {
        let place = sentinel.addr().to_string();
        let asked = timeout(each, async {
            let mut connection = open(sentinel, (), secrets).await?;
            let mut question = cmd("SENTINEL");
            question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
            let answer: redis::RedisResult<Option<(String, u16)>> =
                question.query_async(&mut connection).await;
            answer.map_err(|error| broken(&place, &error, secrets))
        });
        last = Some(match asked.await {
            Ok(Ok(Some((host, port)))) => return Ok(moved_to(like, &host, port)),
            Ok(Ok(None)) => {
                let text = format!("sentinel {place} knows no master {service:?}");
                Error::connection(secrets.scrub(text))
            }
            Ok(Err(error)) => error,
            Err(_) => Error::connection(format!("sentinel {place} does not answer")),
        });
    }
    Err(last.unwrap_or_else(|| Error::connection("no sentinels")))
}

async fn role(connection: &mut MultiplexedConnection) -> redis::RedisResult<String> {
    let reply: Vec<redis::Value> = cmd("ROLE").query_async(connection).await?;
    let first = reply.into_iter().next().unwrap_or_default();
    Ok(String::from_redis_value(first)?)
}

/// The host of what was connected to, to stand in for one that a cluster leaves out.
pub(super) fn host_of(info: &ConnectionInfo) -> &str {
    host_and_port(info.addr()).map_or("", |(host, _)| host)
}
