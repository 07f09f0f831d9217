//! Commands with what tells of them: one transaction where that is possible. See [`announce`](super::announce).

use super::request::{Request, Single};
use crate::backend::redis::notice::Channel;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerError, Value, cmd};

/// Of what others are told, beside commands.
#[derive(Clone, Copy)]
pub(super) enum Telling<'s> {
    Nothing,
    /// That the commands' keys were written.
    Keys(&'s Channel),
    /// That anything may have been written.
    Anything(&'s Channel),
}

impl Telling<'_> {
    /// What is to be sent behind commands on these keys.
    pub(super) fn notice<'k>(self, keys: impl Iterator<Item = &'k [u8]>) -> Option<Cmd> {
        match self {
            Telling::Nothing => None,
            Telling::Keys(channel) => Some(channel.tell_of(keys)),
            Telling::Anything(channel) => Some(channel.tell_of_anything()),
        }
    }
}

/// Commands with a notice behind them.
pub(super) struct Announced {
    all: Pipeline,
    /// How many are not ours.
    commands: usize,
    in_one: bool,
}

impl Announced {
    /// As a transaction, or as good as can be.
    pub(super) fn new(commands: Vec<Cmd>, notice: Cmd, in_one: bool) -> Self {
        let count = commands.len();
        let mut all = Pipeline::with_capacity(count + 3);
        if in_one {
            all.add_command(cmd("MULTI"));
        }
        for command in commands {
            all.add_command(command);
        }
        all.add_command(notice);
        if in_one {
            all.add_command(cmd("EXEC"));
        }
        Self {
            all,
            commands: count,
            in_one,
        }
    }

    /// The same, not as a transaction.
    fn apart(&self) -> Self {
        let mut all = Pipeline::with_capacity(self.commands + 1);
        for command in self.all.cmd_iter().skip(1).take(self.commands + 1) {
            all.add_command(command.clone());
        }
        Self {
            all,
            commands: self.commands,
            in_one: false,
        }
    }

    /// Whether it was not carried out because the server has no memory left to remember it.
    fn is_too_much(&self, answers: &[Value]) -> bool {
        let is_full = |answer: &Value| Cmd::any(answer, |reply| reply.code() == "OOM");
        self.in_one
            && !matches!(answers.last(), Some(Value::Array(_)))
            && answers.iter().any(is_full)
    }

    /// The answers to the commands, of all. If nobody was told, that is what came of each of them.
    fn of(&self, mut answers: Vec<Value>) -> RedisResult<Vec<Value>> {
        let refusal = |answers: &[Value]| {
            let refusal = answers
                .iter()
                .find(|it| matches!(it, Value::ServerError(_)));
            refusal.cloned()
        };
        if self.in_one {
            answers = match answers.pop() {
                Some(Value::Array(done)) => done,
                // It was not carried out. What was refused first is the reason.
                last => {
                    answers.extend(last);
                    let why = refusal(&answers).ok_or_else(unreadable)?;
                    return Ok(vec![why; self.commands]);
                }
            };
        }
        if answers.len() != self.commands + 1 {
            return Err(unreadable());
        }
        let told = answers.split_off(self.commands);
        Ok(match refusal(&told) {
            Some(why) => vec![why; self.commands],
            None => answers,
        })
    }
}

fn unreadable() -> RedisError {
    let text = "not the answers to a transaction";
    RedisError::from((ErrorKind::Parse, text))
}

impl Request for Announced {
    type Answer = Vec<Value>;

    async fn send(&self, connection: &mut MultiplexedConnection) -> RedisResult<Vec<Value>> {
        let sending = connection.send_packed_commands(&self.all, 0, self.all.len());
        let answers = sending.await?;
        if !self.is_too_much(&answers) {
            return self.of(answers);
        }
        let apart = self.apart();
        let sending = connection.send_packed_commands(&apart.all, 0, apart.all.len());
        apart.of(sending.await?)
    }

    fn any(answers: &Vec<Value>, is: impl Fn(&ServerError) -> bool) -> bool {
        Pipeline::any(answers, is)
    }
}

/// One command with a notice behind it.
pub(super) struct AnnouncedOne(Announced);

impl AnnouncedOne {
    pub(super) fn new(command: Cmd, notice: Cmd) -> Self {
        Self(Announced::new(vec![command], notice, true))
    }
}

impl Request for AnnouncedOne {
    type Answer = Value;

    async fn send(&self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        only(self.0.send(connection).await?)
    }

    fn any(answer: &Value, is: impl Fn(&ServerError) -> bool) -> bool {
        Cmd::any(answer, is)
    }
}

impl Single for AnnouncedOne {
    fn commands(&self) -> Vec<Cmd> {
        self.0.all.cmd_iter().cloned().collect()
    }

    fn answer(&self, answers: Vec<Value>) -> RedisResult<Value> {
        only(self.0.of(answers)?)
    }
}

fn only(mut answers: Vec<Value>) -> RedisResult<Value> {
    answers.pop().ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(in_one: bool) -> Announced {
        let channel = Channel::of("p:");
        let commands = vec![cmd("SET"), cmd("GET")];
        Announced::new(commands, channel.tell_of_anything(), in_one)
    }

    fn error(text: &str) -> Value {
        let reply = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
        reply.unwrap()
    }

    fn queued(times: usize) -> Vec<Value> {
        let mut answers = vec![Value::Okay];
        answers.resize(times + 1, Value::SimpleString("QUEUED".to_owned()));
        answers
    }

    #[test]
    fn answers_are_those_to_the_commands() {
        let done = vec![Value::Okay, Value::Nil, Value::Int(3)];
        let transaction = [queued(3), vec![Value::Array(done.clone())]].concat();
        for (announced, answers) in [(announced(true), transaction), (announced(false), done)] {
            assert_eq!(announced.all.len(), answers.len());
            let own = announced.of(answers).unwrap();
            assert_eq!(own, [Value::Okay, Value::Nil]);
        }
        let failed = vec![Value::Okay, error("WRONGTYPE no"), Value::Int(3)];
        let own = announced(false).of(failed.clone()).unwrap();
        assert_eq!(own, [Value::Okay, error("WRONGTYPE no")]);
        let in_one = [queued(3), vec![Value::Array(failed)]].concat();
        assert_eq!(announced(true).of(in_one).unwrap(), own);
    }

    #[test]
    fn a_transaction_that_is_refused_is_refused_for_the_first_reason() {
        let moved = || error("MOVED 7 127.0.0.1:1");
        let mut answers = queued(3);
        answers[2] = moved();
        answers.push(error("EXECABORT discarded"));
        assert_eq!(announced(true).of(answers).unwrap(), [moved(), moved()]);
        let mut answers = queued(3);
        answers.push(moved());
        assert_eq!(announced(true).of(answers).unwrap(), [moved(), moved()]);
        let unknown = [
            vec![error("NOAUTH who are you"); 4],
            vec![error("ERR no MULTI")],
        ]
        .concat();
        let refused = announced(true).of(unknown).unwrap();
        assert_eq!(refused[1], error("NOAUTH who are you"));
    }

    #[test]
    fn a_full_server_takes_commands_one_by_one() {
        let full = || error("OOM no");
        let announced = announced(true);
        let mut answers = queued(3);
        answers[1] = full();
        answers.push(error("EXECABORT discarded"));
        assert!(announced.is_too_much(&answers));
        let apart = announced.apart();
        let sent = |announced: &Announced| {
            let commands = announced.all.cmd_iter().map(Cmd::get_packed_command);
            commands.collect::<Vec<_>>()
        };
        assert_eq!(sent(&apart), sent(&announced)[1..4]);
        assert!(!apart.is_too_much(&[full(), Value::Okay, Value::Okay]));
        // It was carried out, and this is what came of a command of it.
        let done = Value::Array(vec![full(), Value::Okay, Value::Int(0)]);
        assert!(!announced.is_too_much(&[queued(3), vec![done]].concat()));
        answers[1] = error("MOVED 7 127.0.0.1:1");
        assert!(!announced.is_too_much(&answers));
    }

    /// As nobody was told, it does not count as done.
    #[test]
    fn a_notice_that_is_refused() {
        let denied = || error("NOPERM no channel");
        let answers = vec![Value::Okay, Value::Okay, denied()];
        assert_eq!(
            announced(false).of(answers.clone()).unwrap(),
            [denied(), denied()]
        );
        let in_one = [queued(3), vec![Value::Array(answers)]].concat();
        assert_eq!(announced(true).of(in_one).unwrap(), [denied(), denied()]);
    }

    #[test]
    fn nonsense() {
        for answers in [
            vec![],
            queued(4),
            [queued(3), vec![Value::Nil]].concat(),
            [queued(3), vec![Value::Array(vec![Value::Okay])]].concat(),
        ] {
            announced(true).of(answers).unwrap_err();
        }
        announced(false).of(vec![Value::Okay; 2]).unwrap_err();
    }
}
