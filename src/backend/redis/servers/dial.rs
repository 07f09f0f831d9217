//! Making a connection: to an address, or to the server that the sentinels name as the primary.

use super::failure::broken;
use crate::backend::redis::address::{Secrets, host_and_port, moved_to};
use crate::backend::redis::event::Endpoint;
use crate::error::Error;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, FromRedisValue, PushInfo, cmd};
use std::time::Duration;
use tokio::time::timeout;

/// Hears what a server sends unasked, in the order in which it comes and before any answer that comes behind it.
pub(super) trait Hears: Send + Sync + 'static {
    fn hear(&self, push: &PushInfo);
}

/// Nobody.
impl Hears for () {
    fn hear(&self, _: &PushInfo) {}
}

/// Where to connect to.
#[derive(Clone)]
pub(super) enum Dial {
    Address(ConnectionInfo),
    Primary {
        sentinels: Vec<ConnectionInfo>,
        service: String,
        like: ConnectionInfo,
    },
}

impl Dial {
    /// How errors call the server.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Address(info) => info.addr().to_string(),
            Self::Primary { service, .. } => format!("master of {service:?}"),
        }
    }

    /// Where the server is, if that is known without asking.
    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        let Self::Address(info) = self else {
            return None;
        };
        Some(match host_and_port(info.addr()) {
            Some((host, port)) => Endpoint {
                address: host.to_owned(),
                port: Some(port),
            },
            None => Endpoint {
                address: info.addr().to_string(),
                port: None,
            },
        })
    }

    /// Whether both are the same address.
    pub(super) fn leads_to(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Address(one), Self::Address(other)) if one.addr() == other.addr())
    }

    /// Connects. `ear` is dropped when the connection ends, whichever side ends it.
    pub(super) async fn connect(
        &self,
        ear: impl Hears,
        budget: Duration,
        secrets: &Secrets,
    ) -> Result<MultiplexedConnection, Error> {
        match self {
            Self::Address(info) => open(info, ear, secrets).await,
            Self::Primary {
                sentinels,
                service,
                like,
            } => {
                let info = ask(sentinels, service, like, budget, secrets).await?;
                let mut connection = open(&info, ear, secrets).await?;
                let name = info.addr().to_string();
                // Sentinels may lag behind, but a server that was demoted knows.
                match role(&mut connection).await {
                    Ok(role) if role == "master" => Ok(connection),
                    Ok(role) => {
                        let text = format!("{name} is a {role}, not the master of {service:?}");
                        Err(Error::connection(secrets.scrub(text)))
                    }
                    Err(error) => Err(broken(&name, &error, secrets)),
                }
            }
        }
    }
}

async fn open(
    info: &ConnectionInfo,
    ear: impl Hears,
    secrets: &Secrets,
) -> Result<MultiplexedConnection, Error> {
    let broken = |error| broken(&info.addr().to_string(), &error, secrets);
    let client = Client::open(info.clone()).map_err(broken)?;
    // The task that drives the connection owns this closure, and drops it when the connection ends.
    let owns = move |push: PushInfo| {
        ear.hear(&push);
        Ok::<(), ()>(())
    };
    // Those who wait have a limit of their own.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_push_sender(owns);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.map_err(broken)
}

/// The address of the primary, from the first sentinel that knows it.
async fn ask(
    sentinels: &[ConnectionInfo],
    service: &str,
    like: &ConnectionInfo,
    budget: Duration,
    secrets: &Secrets,
) -> Result<ConnectionInfo, Error> {
    let each = budget / u32::try_from(sentinels.len() + 1).unwrap_or(u32::MAX);
    let mut last = None;
    for sentinel in sentinels {
        let name = sentinel.addr().to_string();
        let asked = timeout(each, async {
            let mut connection = open(sentinel, (), secrets).await?;
            let mut question = cmd("SENTINEL");
            question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
            let answer: redis::RedisResult<Option<(String, u16)>> =
                question.query_async(&mut connection).await;
            answer.map_err(|error| broken(&name, &error, secrets))
        });
        last = Some(match asked.await {
            Ok(Ok(Some((host, port)))) => return Ok(moved_to(like, &host, port)),
            Ok(Ok(None)) => {
                let text = format!("sentinel {name} knows no master {service:?}");
                Error::connection(secrets.scrub(text))
            }
            Ok(Err(error)) => error,
            Err(_) => Error::connection(format!("sentinel {name} does not answer")),
        });
    }
    Err(last.unwrap_or_else(|| Error::connection("no sentinels")))
}

async fn role(connection: &mut MultiplexedConnection) -> redis::RedisResult<String> {
    let reply: Vec<redis::Value> = cmd("ROLE").query_async(connection).await?;
    let first = reply.into_iter().next().unwrap_or_default();
    Ok(String::from_redis_value(first)?)
}

/// The host that was connected to. It stands in for one that a node of a cluster leaves out.
pub(super) fn host_of(info: &ConnectionInfo) -> &str {
    host_and_port(info.addr()).map_or("", |(host, _)| host)
}
