//! Who the command is to the mesh, as its arguments say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use qmesh::{Credentials, Identity, IdentityError, Role};

use crate::exit::{Exit, Problem};

/// Where everything of this host is kept unless something else is said.
pub(crate) const DATA_DIR: &str = "./.qmesh";

/// The name of a command line that has no certificate of its own.
const GUEST: &str = "cli";

/// The directory of this host.
#[derive(Debug, Args)]
pub(crate) struct DataDir {
    /// Where this host keeps its authority, and what its nodes remember.
    #[arg(long = "data-dir", env = "QMESH_DATA_DIR", default_value = DATA_DIR, value_name = "DIR")]
    #[arg(hide_env_values = true)]
    pub(crate) path: PathBuf,
}

/// Who the command is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity")]
pub(crate) struct Member {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// A certificate from `qmesh ca issue` (default: the authority in the data directory issues one).
    #[arg(long, env = "QMESH_CERT", hide_env_values = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The certificate's private key (default: NAME.key.pem beside NAME.pem).
    #[arg(long, requires = "cert", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificate of the mesh's authority (default: authority.pem beside the certificate).
    #[arg(long, requires = "cert", value_name = "FILE")]
    authority: Option<PathBuf>,
}

/// An identity, and the name to use it with.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) identity: Identity,
    pub(crate) name: String,
}

// === impl Member ===

impl Member {
    /// The identity of a node: with its name where a certificate says it.
    pub(crate) fn node(&self) -> anyhow::Result<(Identity, Option<String>)> {
        let Some(certificate) = &self.cert else {
            return Ok((self.data_dir.identity()?, None));
        };
        let (known, role) = self.given(certificate)?;
        if role != Role::Node {
            let what =
                format!("the certificate of `{}` is a client's, and clients serve nothing", known.name);
            return Err(Problem::usage(what).hint("issue one for a node: qmesh ca issue NAME").into());
        }
        Ok((known.identity, Some(known.name)))
    }

    /// The identity of a guest.
    pub(crate) fn guest(&self) -> anyhow::Result<Known> {
        let Some(certificate) = &self.cert else {
            self.data_dir.expect_authority()?;
            let identity = self.data_dir.identity()?;
            return Ok(Known { identity, name: GUEST.to_owned() });
        };
        let (known, role) = self.given(certificate)?;
        if role != Role::Client {
            let what =
                format!("the certificate of `{}` is a node's, and this command is a guest", known.name);
            return Err(Problem::usage(what)
                .hint("issue one for a client: qmesh ca issue NAME --client")
                .into());
        }
        Ok(known)
    }

    fn given(&self, certificate: &Path) -> anyhow::Result<(Known, Role)> {
        let key = self.key.clone().unwrap_or_else(|| certificate.with_extension("key.pem"));
        let authority = self.authority.clone().unwrap_or_else(|| certificate.with_file_name("authority.pem"));
        let identity = Identity::pem_files(certificate, &key, &authority)?;
        let read = |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
        let credentials = Credentials::from_pem(&read(certificate)?, &read(&key)?, &read(&authority)?)?;
        Ok((Known { identity, name: credentials.name().to_owned() }, credentials.role()))
    }
}

// === impl DataDir ===

impl DataDir {
    /// Where the authority of this host is.
    pub(crate) fn authority(&self) -> PathBuf {
        self.path.join("authority")
    }

    /// The identity of nodes and guests of this host, whose authority is made if there is none.
    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        Identity::dev(&self.path).map_err(|error| match error {
            IdentityError::File { .. } => Problem::new(Exit::Failed, error.to_string())
                .hint("the data directory has to be one in which you may write: --data-dir DIR")
                .into(),
            other => other.into(),
        })
    }

    /// A guest makes no authority: a node that trusts it could not be running.
    fn expect_authority(&self) -> Result<(), Problem> {
        if self.authority().join("authority.pem").exists() {
            return Ok(());
        }
        let path = self.path.display();
        if self.path.join("nodes").exists() {
            let what = format!("{path} has no authority, so this command line has no certificate");
            return Err(Problem::new(Exit::NoNode, what).hint(
                "name one, and the node to ask: --cert FILE (from `qmesh ca issue NAME --client`) --node quic://HOST:PORT",
            ));
        }
        let what = format!("no node has run here: {path} holds no mesh");
        Err(Problem::new(Exit::NoNode, what).hint(
            "start one with `qmesh dev`\n\
             or name the directory of one that runs: --data-dir DIR\n\
             or join a mesh of another host: --node quic://HOST:PORT --cert FILE (from `qmesh ca issue NAME --client`)",
        ))
    }

    /// ` --data-dir DIR`, where a further command needs it to mean the same.
    pub(crate) fn flag(&self) -> String {
        if self.path == Path::new(DATA_DIR) {
            return String::new();
        }
        format!(" --data-dir {}", crate::text::path(&self.path))
    }
}
