//! The options in the attribute's parentheses: `name = "chat.Chat", crate = qmesh`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Ident, LitStr, Path, Token};

use crate::problems::Problems;

/// The longest name of a service: names ride in every record of the directory.
const NAME_CHARACTERS_MAX: usize = 100;

/// What the attribute was told.
#[derive(Debug)]
pub(crate) struct Options {
    /// The name of the service in the mesh; `None` if it is missing or wrong, which is already reported.
    pub(crate) name: Option<LitStr>,
    /// The path of the crate `qmesh`, as the user's crate spells it.
    pub(crate) runtime: Path,
}

/// One `key = value`, or whatever stood between two commas.
struct Entry {
    key: Option<Ident>,
    value: TokenStream,
}

// === impl Options ===

impl Options {
    /// Reads the tokens in the attribute's parentheses; `example` is the name that a complaint suggests.
    pub(crate) fn parse(tokens: TokenStream, example: &str, problems: &mut Problems) -> Self {
        let mut name = None;
        let mut runtime = None;
        for entry in entries(tokens, problems) {
            let Some(key) = &entry.key else {
                let literal = syn::parse2::<LitStr>(entry.value.clone()).ok();
                let meant = literal.as_ref().map_or_else(|| example.to_owned(), LitStr::value);
                problems.at(&entry.value, format!("an option is `key = value`: write `name = {meant:?}`"));
                name = name.or_else(|| literal.map(Some));
                continue;
            };
            match key.to_string().as_str() {
                "name" => set(&mut name, key, read_name(&entry, example, problems), problems),
                "crate" => set(&mut runtime, key, read_crate(&entry, problems), problems),
                other => problems.at(
                    key,
                    format!(
                        "there is no option `{other}`: the options are `name`, the service's name in the mesh, \
                         and `crate`, the path of the crate `qmesh`"
                    ),
                ),
            }
        }
        if name.is_none() {
            problems.at_span(
                Span::call_site(),
                format!(
                    "a service needs a name, by which the mesh finds it: \
                     write `#[qmesh::service(name = \"{example}\")]`"
                ),
            );
        }
        Self { name: name.flatten(), runtime: runtime.flatten().unwrap_or_else(default_runtime) }
    }
}

/// Remembers an option unless it was given before. `Some(None)` is an option that was given wrongly.
fn set<T>(slot: &mut Option<Option<T>>, key: &Ident, value: Option<T>, problems: &mut Problems) {
    if slot.is_some() {
        problems.at(key, format!("the option `{key}` is given twice: keep one of the two"));
    } else {
        *slot = Some(value);
    }
}

fn default_runtime() -> Path {
    syn::parse_quote!(::qmesh)
}

fn read_name(entry: &Entry, example: &str, problems: &mut Problems) -> Option<LitStr> {
    let Ok(name) = syn::parse2::<LitStr>(entry.value.clone()) else {
        problems.at(entry, format!("the name is a string: write `name = \"{example}\"`"));
        return None;
    };
    if let Some(wrong) = wrong_name(&name.value()) {
        problems.at(&name, wrong);
        return None;
    }
    Some(name)
}

/// Says what is wrong with a name, if anything is.
fn wrong_name(name: &str) -> Option<String> {
    const GRAMMAR: &str =
        "a name is made of letters, digits and `_` in segments joined by `.`, as in `chat.Chat`";
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '.';
    let length = name.chars().count();
    if name.is_empty() {
        Some(format!("the name is empty: {GRAMMAR}"))
    } else if let Some(character) = name.chars().find(|&character| !allowed(character)) {
        Some(format!("a name cannot hold {character:?}: {GRAMMAR}"))
    } else if name.split('.').any(str::is_empty) {
        Some(format!("a segment of the name is empty: {GRAMMAR}"))
    } else if length > NAME_CHARACTERS_MAX {
        Some(format!(
            "the name has {length} characters: at most {NAME_CHARACTERS_MAX} fit into a node's record"
        ))
    } else {
        None
    }
}

fn read_crate(entry: &Entry, problems: &mut Problems) -> Option<Path> {
    let path = Path::parse_mod_style.parse2(entry.value.clone());
    if path.is_err() {
        problems.at(entry, "`crate` is the path of the crate `qmesh`, without quotes: write `crate = qmesh`");
    }
    path.ok()
}

// === impl Entry ===

impl quote::ToTokens for Entry {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { key, value } = self;
        tokens.extend(quote!(#key #value));
    }
}

/// Splits at the commas, so that one wrong option hides no other.
fn entries(tokens: TokenStream, problems: &mut Problems) -> Vec<Entry> {
    let parser = |input: ParseStream<'_>| {
        let mut entries = Vec::new();
        while !input.is_empty() {
            entries.push(entry(input)?);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(entries)
    };
    parser.parse2(tokens).unwrap_or_else(|error| {
        problems.add(error);
        Vec::new()
    })
}

fn entry(input: ParseStream<'_>) -> syn::Result<Entry> {
    let key = if input.peek(Ident::peek_any) && input.peek2(Token![=]) {
        let key = input.call(Ident::parse_any)?;
        input.parse::<Token![=]>()?;
        Some(key)
    } else {
        None
    };
    let mut value = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        value.extend(Some(input.parse::<TokenTree>()?));
    }
    Ok(Entry { key, value })
}
