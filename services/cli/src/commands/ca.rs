//! `qmesh ca`: who belongs to the mesh.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use qmesh::{Authority, Credentials, IdentityError, IssueOptions, PrivateKey, Role};
use serde_json::json;

use crate::{
    exit::{Exit, Problem},
    member::DataDir,
    output::{self, OutputFormat, Shade, Table, bold},
    text,
};

/// What to do with the authority.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the authority of a new mesh. `qmesh dev` makes one of mesh `dev` by itself.
    Init {
        /// The mesh's name.
        #[arg(long, default_value = "dev")]
        mesh: String,
        #[command(flatten)]
        place: Place,
    },
    /// Issue a certificate with a new key, for a node on another host or for a guest.
    Issue {
        /// Whom it names: 1 to 63 of a-z, 0-9, `-`, `_` and `.`.
        name: String,
        /// For a guest such as this command line, instead of a node.
        #[arg(long)]
        client: bool,
        /// Renew the certificate that is there: for the same key, and with it the same id and role.
        #[arg(long, conflicts_with = "client")]
        renew: bool,
        /// Where to put the files (default: a new directory of that name).
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the authority is.
#[derive(Debug, clap::Args)]
struct Place {
    /// The authority's directory (default: `authority` in the data directory, where `dev` and `serve` look).
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDir,
}

/// Makes an authority or a certificate.
///
/// # Errors
/// The files cannot be read or written, or would overwrite a key.
pub(crate) fn run(args: &Args, output: OutputFormat) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Init { mesh, place } => init(mesh, place, output)?,
        Action::Issue { name, client, renew, out, place } => {
            let out = out.clone().unwrap_or_else(|| PathBuf::from(name));
            let order = if *renew {
                renewal(name, &out)?
            } else {
                IssueOptions::new(name, if *client { Role::Client } else { Role::Node })
            };
            let certificate = issue(&order, &out, place, output)?;
            if output == OutputFormat::Table {
                next(&order, *renew, &certificate)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn init(mesh: &str, place: &Place, output: OutputFormat) -> anyhow::Result<()> {
    let dir = place.dir();
    Authority::init(&dir, mesh).map_err(|error| {
        let exists = matches!(error, IdentityError::AuthorityExists(_));
        let problem = Problem::new(Exit::Failed, error.to_string());
        if exists { problem.hint("issue certificates with it: qmesh ca issue NAME") } else { problem }
    })?;
    if output == OutputFormat::Json {
        return Ok(output::json(&json!({"mesh": mesh, "dir": dir}))?);
    }
    output::line(format!("authority of mesh {} in {}", bold(mesh), text::path(&dir)))?;
    output::line("keep its key to yourself: whoever reads it decides who belongs to the mesh\n")?;
    let (qmesh, flags) = (text::program(), place.flags());
    output::line(format!("Next:\n\n  {}", bold(&format!("{qmesh} ca issue NAME{flags}"))))?;
    Ok(())
}

/// Who the certificate in `out` says it is, with the same key.
fn renewal(name: &str, out: &Path) -> anyhow::Result<IssueOptions> {
    let read = |file: String| {
        let path = out.join(file);
        fs::read_to_string(&path).map_err(|error| {
            let what = format!("cannot read {}: {error}", path.display());
            Problem::new(Exit::Failed, what).hint(
                "name the directory of its files: --out DIR\n\
                 nodes of a data directory renew their certificates by themselves",
            )
        })
    };
    let (certificate, key) = (read(format!("{name}.pem"))?, read(format!("{name}.key.pem"))?);
    let before = Credentials::from_pem(&certificate, &key, &read("authority.pem".to_owned())?)?;
    let mut order = IssueOptions::new(name, before.role());
    order.key = Some(PrivateKey::from_pem(&key)?);
    Ok(order)
}

/// Where the certificate is now.
fn issue(order: &IssueOptions, out: &Path, place: &Place, output: OutputFormat) -> anyhow::Result<PathBuf> {
    let authority = Authority::open(&place.dir())?;
    let issued = authority.issue_with(order)?;
    let (name, role) = (&order.name, order.role);
    let id = issued.credentials()?.id().to_string();
    let [certificate, key, trusted] = issued.write(out).map_err(|error| {
        let exists = matches!(error, IdentityError::KeyExists(_));
        let problem = Problem::new(Exit::Failed, error.to_string());
        if exists { problem.hint("or renew its certificate, which keeps the key: --renew") } else { problem }
    })?;
    if output == OutputFormat::Json {
        let files = json!({"certificate": certificate, "key": key, "authority": trusted});
        let told = json!({"name": name, "role": role.to_string(), "mesh": authority.mesh(), "id": id, "files": files});
        output::json(&told)?;
        return Ok(certificate);
    }
    output::line(format!("{role} {} of mesh {}\n", bold(name), bold(authority.mesh())))?;
    let mut files = Table::new(["", ""]);
    for (what, value) in [
        ("id", id),
        ("certificate", text::path(&certificate)),
        ("private key", text::path(&key)),
        ("authority", text::path(&trusted)),
    ] {
        files.row([(format!("  {what}"), Shade::Faint), (value, Shade::Plain)]);
    }
    files.print()?;
    Ok(certificate)
}

/// What to do with the certificate and the files beside it.
fn next(order: &IssueOptions, renewed: bool, certificate: &Path) -> anyhow::Result<()> {
    if renewed {
        output::line("\nCopy the files over the old ones.")?;
        if order.role == Role::Node {
            output::line("A node that runs takes them over within the hour.")?;
        }
        return Ok(());
    }
    let certificate = text::path(certificate);
    let command = match order.role {
        Role::Node => format!(
            "serve echo.Echo --cert {certificate} --listen quic://0.0.0.0:4433 \\\n    --advertise quic://THIS_HOST:4433 \
             --seed quic://OTHER_HOST:4433"
        ),
        Role::Client => format!("nodes --cert {certificate} --node quic://HOST:4433"),
    };
    let qmesh = text::program();
    output::line(format!(
        "\nTake the three files to the other host, and there:\n\n  {}",
        bold(&format!("{qmesh} {command}"))
    ))?;
    Ok(())
}

// === impl Place ===

impl Place {
    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| self.data_dir.authority())
    }

    /// What a further command needs to mean the same authority.
    fn flags(&self) -> String {
        let dir = self.dir.as_ref().map(|dir| format!(" --dir {}", text::path(dir)));
        dir.unwrap_or_else(|| self.data_dir.flag())
    }
}
