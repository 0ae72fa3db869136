//! How the command ends: the number for scripts, the sentence for people, and what to try next.

use std::{error::Error, fmt, process::ExitCode};

use qmesh::{DataDirError, Failure, Outcome, Reason, StartError};
use serde_json::{Value, json};

use crate::{
    commands::trace::SHORT,
    output::{OutputFormat, alarm},
    text,
};

/// The end of `qmesh --help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done                       4  the service answered with its own error
  1  failed                     5  the call was not sent: repeating it is safe
  2  wrong usage                6  the call was not executed: repeating it is safe
  3  no node answers            7  the outcome of the call is unknown: it may have run
130  interrupted

Where a node is found, in this order:
  --node or QMESH_NODE, the nodes of this host in --data-dir or QMESH_DATA_DIR, multicast DNS.

RUST_LOG=qmesh=debug tells more on standard error; NO_COLOR turns colours off.";

/// How the command ended, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Whatever has no number of its own.
    Failed = 1,
    /// The command makes no sense.
    Usage = 2,
    /// No node of the mesh answers.
    NoNode = 3,
    /// The service answered with its own error.
    ServiceError = 4,
    /// The call never left the node that was asked.
    NotSent = 5,
    /// The call was refused before its handler began.
    NotExecuted = 6,
    /// The handler may have run.
    Unknown = 7,
}

/// What a shell reports for a command that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error with an exit code and a way out.
#[derive(Debug)]
pub(crate) struct Problem {
    exit: Exit,
    what: String,
    hint: Option<String>,
    facts: Value,
}

/// Says what went wrong on standard error, in the format asked for, and gives the exit code.
pub(crate) fn report(error: &anyhow::Error, output: OutputFormat) -> ExitCode {
    let problem = error.downcast_ref::<Problem>();
    let exit = problem.map_or(Exit::Failed, |problem| problem.exit);
    let hint = problem.and_then(|problem| problem.hint.as_deref());
    let message = message(error);
    match output {
        OutputFormat::Table => {
            eprintln!("{} {message}", alarm("error:"));
            for line in hint.unwrap_or_default().lines() {
                eprintln!("  {line}");
            }
        }
        OutputFormat::Json => {
            let mut told = json!({"exit": exit as u8, "message": message, "hint": hint});
            if let (Some(told), Some(Value::Object(facts))) =
                (told.as_object_mut(), problem.map(|problem| problem.facts.clone()))
            {
                told.extend(facts);
            }
            eprintln!("{}", json!({ "error": told }));
        }
    }
    ExitCode::from(exit as u8)
}

/// The error and its causes, each once: many say their cause themselves.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        if told.is_empty() {
            cause
        } else if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

// === impl Problem ===

impl Problem {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hint: None, facts: Value::Null }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// What to try next, one idea per line.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What else programs are told.
    pub(crate) fn facts(mut self, facts: Value) -> Self {
        self.facts = facts;
        self
    }

    /// The same for a call of that trace.
    pub(crate) fn traced(mut self, trace: &str) -> Self {
        let short = trace.get(..SHORT).unwrap_or(trace);
        let look = format!("trace: {trace}; {} why {short}", text::program());
        self.hint = Some(self.hint.map_or_else(|| look.clone(), |hint| format!("{hint}\n{look}")));
        if let Value::Object(facts) = &mut self.facts {
            facts.insert("trace".to_owned(), trace.into());
        } else {
            self.facts = json!({ "trace": trace });
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Problem {}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let wrong = matches!(
            failure.reason(),
            Reason::BadArguments | Reason::UnknownMethod | Reason::Incompatible | Reason::TooLarge
        );
        let exit = match failure.outcome() {
            Outcome::NotSent => Exit::NotSent,
            Outcome::NotExecuted => Exit::NotExecuted,
            Outcome::Unknown => Exit::Unknown,
        };
        let hint = match failure.outcome() {
            _ if failure.reason() == Reason::Refused => {
                "nothing was executed: who may call what is up to the node that serves"
            }
            Outcome::Unknown => "it may have run: repeat it only if running it twice does no harm",
            _ if wrong => "nothing was executed: correct the call before you repeat it",
            Outcome::NotSent => "it never left the node: repeating it is safe",
            Outcome::NotExecuted => "the service did not run it: repeating it is safe",
        };
        let facts = serde_json::to_value(&failure).unwrap_or_default();
        Self::new(exit, failure.to_string()).hint(hint).facts(json!({ "failure": facts }))
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let hint = match &error {
            StartError::NothingToAdvertise(_) => {
                return Self::new(Exit::Failed, "the node listens on a wildcard, which nobody can dial")
                    .hint("say where others reach it: --advertise quic://HOST:PORT");
            }
            StartError::DataDir(DataDirError::InUse { name, folder }) => {
                let what = format!("node `{name}` runs already in {}", folder.display());
                return Self::new(Exit::Failed, what)
                    .hint("call it: it is one of `qmesh nodes`\nor run another: --name NAME");
            }
            StartError::Bind(_) => "choose another --listen quic://HOST:PORT; port 0 lets the system choose",
            _ => return Self::new(Exit::Failed, error.to_string()),
        };
        Self::new(Exit::Failed, error.to_string()).hint(hint)
    }
}
