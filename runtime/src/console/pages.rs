//! The files that a browser gets. They are in the binary, so that a node that runs can always show them.

/// A file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) path: &'static str,
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const MODULE: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! pages {
    ($($path:literal: $kind:ident = $file:literal,)*) => {
        &[$(Page { path: $path, kind: $kind, text: include_str!(concat!("page/", $file)) }),*]
    };
}

static PAGES: &[Page] = pages![
    "/": HTML = "index.html",
    "/actors.js": MODULE = "actors.js",
    "/address.js": MODULE = "address.js",
    "/alarms.js": MODULE = "alarms.js",
    "/ask.js": MODULE = "ask.js",
    "/call.js": MODULE = "call.js",
    "/dom.js": MODULE = "dom.js",
    "/events.js": MODULE = "events.js",
    "/format.js": MODULE = "format.js",
    "/graph.js": MODULE = "graph.js",
    "/icon.svg": SVG = "icon.svg",
    "/json.js": MODULE = "json.js",
    "/latency.js": MODULE = "latency.js",
    "/layout.js": MODULE = "layout.js",
    "/loads.js": MODULE = "loads.js",
    "/main.js": MODULE = "main.js",
    "/mesh.js": MODULE = "mesh.js",
    "/node.js": MODULE = "node.js",
    "/queues.js": MODULE = "queues.js",
    "/sentences.js": MODULE = "sentences.js",
    "/service.js": MODULE = "service.js",
    "/services.js": MODULE = "services.js",
    "/spark.js": MODULE = "spark.js",
    "/style.css": CSS = "style.css",
    "/table.js": MODULE = "table.js",
    "/theme.css": CSS = "theme.css",
    "/trace.js": MODULE = "trace.js",
    "/traces.js": MODULE = "traces.js",
    "/traffic.js": MODULE = "traffic.js",
    "/tree.js": MODULE = "tree.js",
    "/waterfall.js": MODULE = "waterfall.js",
];

/// The file at that path.
pub(super) fn find(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The files of the folder, by name.
    fn files() -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/page");
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn every_file_is_served_and_every_import_is_a_file() {
        for file in files() {
            let path = if file == "index.html" { "/".to_owned() } else { format!("/{file}") };
            let page = find(&path).unwrap_or_else(|| panic!("{file} is not served"));
            for import in page.text.lines().filter_map(|line| line.split_once(" from \"./")) {
                let (name, _) = import.1.split_once('"').unwrap();
                assert!(find(&format!("/{name}")).is_some(), "{file} imports {name}");
            }
        }
        assert_eq!(PAGES.len(), files().len());
    }

    /// The policy would forbid it in the browser, where nobody but a user would see.
    #[test]
    fn no_file_has_scripts_or_styles_in_line_or_loads_from_elsewhere() {
        for Page { path, text, .. } in PAGES {
            for wrong in ["style=\"", "onclick=\"", "<script>", "<style", "innerHTML", "eval(", "https://"] {
                assert!(!text.contains(wrong), "{path} has {wrong}");
            }
            let names = text.matches("http://").count() - text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(names, 0, "{path} names another site");
        }
    }
}
