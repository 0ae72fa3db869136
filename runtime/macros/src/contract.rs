//! A contract as the macro understands it: the user's trait, read and found sound.
//!
//! Reading is pure and never stops at the first problem: whatever is wrong is reported, whatever is right is kept, so
//! that a mistake in one method does not make the whole service unknown to the rest of the program.

mod attributes;
mod method;
mod output;
mod parameter;
mod travel;

use std::collections::BTreeMap;

use heck::ToSnakeCase as _;
use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt as _;
use syn::{Ident, Item, ItemTrait, LitStr, Path, TraitItem, TraitItemFn};

pub(crate) use self::{method::Method, output::Output, parameter::Parameter};
use crate::{options::Options, problems::Problems};

/// Every opening of a call channel lists the methods, so their number has a bound.
const METHODS_MAX: usize = 256;

/// A trait that names the methods of a service.
#[derive(Debug)]
pub(crate) struct Contract {
    /// The name of the service in the mesh.
    pub(crate) name: LitStr,
    /// The path of the crate `qmesh`.
    pub(crate) runtime: Path,
    /// The user's trait without its items.
    pub(crate) declaration: ItemTrait,
    /// The methods, in the order of their numbers.
    pub(crate) methods: Vec<Method>,
    /// What was refused and stays in the trait as the user wrote it, so that implementations still match.
    pub(crate) refused: Vec<TraitItem>,
}

/// What is left of the attribute's target.
#[derive(Debug)]
pub(crate) enum Target {
    /// A contract, possibly without the methods that were refused.
    Contract(Box<Contract>),
    /// Not a contract at all: these are the user's tokens, without the helper attributes.
    Other(TokenStream),
}

// === impl Target ===

impl Target {
    /// Reads what the attribute stands on.
    pub(crate) fn parse(attribute: TokenStream, item: TokenStream, problems: &mut Problems) -> Self {
        match syn::parse2::<Item>(item.clone()) {
            Ok(Item::Trait(declaration)) => Self::parse_trait(attribute, declaration, problems),
            Ok(other) => {
                problems.at(
                    declaration_of(&other),
                    "a contract is a trait: put `#[qmesh::service]` on a trait and implement the trait for your type",
                );
                Self::Other(item)
            }
            Err(error) => {
                problems.add(error);
                Self::Other(item)
            }
        }
    }

    fn parse_trait(attribute: TokenStream, mut declaration: ItemTrait, problems: &mut Problems) -> Self {
        let ident = declaration.ident.unraw();
        let example = format!("{}.{ident}", ident.to_string().to_snake_case());
        let options = Options::parse(attribute, &example, problems);
        let before = problems.count();
        check_header(&declaration, problems);
        let expandable = problems.count() == before;
        let items = std::mem::take(&mut declaration.items);
        if items.is_empty() {
            problems.at(
                &declaration.ident,
                "a contract has at least one method: write `async fn` methods into the trait",
            );
        }
        let (methods, refused) = read_items(items, &ident, problems);
        let name = options.name.unwrap_or_else(|| LitStr::new(&example, Span::call_site()));
        let contract = Contract { name, runtime: options.runtime, declaration, methods, refused };
        if expandable { Self::Contract(Box::new(contract)) } else { Self::Other(contract.into_source()) }
    }
}

/// The part of an item worth underlining: its name where it has one.
fn declaration_of(item: &Item) -> TokenStream {
    use quote::ToTokens as _;
    match item {
        Item::Struct(item) => item.ident.to_token_stream(),
        Item::Enum(item) => item.ident.to_token_stream(),
        Item::Fn(item) => item.sig.ident.to_token_stream(),
        Item::Mod(item) => item.ident.to_token_stream(),
        Item::TraitAlias(item) => item.ident.to_token_stream(),
        Item::Impl(item) => item.impl_token.to_token_stream(),
        other => other.to_token_stream(),
    }
}

/// Reports what a trait's header may not have.
fn check_header(declaration: &ItemTrait, problems: &mut Problems) {
    if let Some(unsafety) = &declaration.unsafety {
        problems
            .at(unsafety, "a contract cannot be an unsafe trait: its callers are remote; remove `unsafe`");
    }
    if let Some(auto) = &declaration.modifiers.auto_token {
        problems.at(auto, "a contract cannot be an auto trait: it has methods; remove `auto`");
    }
    if !declaration.generics.params.is_empty() {
        problems.at(
            &declaration.generics,
            "a contract cannot be generic: its methods have one form on the wire; write the types out",
        );
    }
    if let Some(clause) = &declaration.generics.where_clause {
        problems
            .at(clause, "a contract cannot have a where clause: write bounds of the service as supertraits");
    }
}

/// Sorts a trait's items into methods and what is refused.
fn read_items(
    items: Vec<TraitItem>,
    service: &Ident,
    problems: &mut Problems,
) -> (Vec<Method>, Vec<TraitItem>) {
    let mut methods = Vec::new();
    let mut refused = Vec::new();
    let mut names = Names::default();
    for item in items {
        let TraitItem::Fn(function) = item else {
            refuse_item(&item, problems);
            refused.push(item);
            continue;
        };
        let before = problems.count();
        let method = Method::parse(function.clone(), service, problems);
        let known = names.check(&function.sig.ident, problems);
        match method {
            Some(method) if problems.count() == before => methods.push(method),
            // The compiler would complain of two methods with one name, too.
            _ if known => {}
            _ => refused.extend(presentable(function).map(TraitItem::Fn)),
        }
    }
    if let Some(first) = methods.get(METHODS_MAX) {
        let count = methods.len();
        problems.at(
            &first.signature.ident,
            format!("a contract has at most {METHODS_MAX} methods, and this one has {count}: split it into two services"),
        );
    }
    (methods, refused)
}

/// Reports an item of the trait that is not a method.
fn refuse_item(item: &TraitItem, problems: &mut Problems) {
    match item {
        TraitItem::Const(item) => problems.at(
            &item.ident,
            "a contract has no associated constants: callers know the service by its methods alone; \
             write a constant beside the trait",
        ),
        TraitItem::Type(item) => problems.at(
            &item.ident,
            "a contract has no associated types: both sides must know the same types; write the type out",
        ),
        TraitItem::Macro(item) => problems.at(
            &item.mac.path,
            "a contract cannot call macros: what they make is unknown here; write the methods out",
        ),
        other => problems.at(other, "a contract holds methods alone: write `async fn name(&self, …) -> …;`"),
    }
}

/// A refused method as it may stay in the trait, unless the compiler would complain of it a second time.
fn presentable(mut function: TraitItemFn) -> Option<TraitItemFn> {
    attributes::strip_marks(&mut function.attrs);
    parameter::all_plain(&function.sig).then_some(function)
}

// === impl Contract ===

impl Contract {
    /// The user's trait as it was, without the helper attributes.
    fn into_source(self) -> TokenStream {
        use quote::ToTokens as _;
        let mut declaration = self.declaration;
        declaration.items =
            self.methods.into_iter().map(|method| TraitItem::Fn(method.into_source())).collect();
        declaration.items.extend(self.refused);
        declaration.into_token_stream()
    }
}

/// The names of the methods seen so far, by the name of their variant.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

// === impl Names ===

impl Names {
    /// Reports a clash. Whether there is a method with this very name already.
    fn check(&mut self, ident: &Ident, problems: &mut Problems) -> bool {
        let name = ident.unraw().to_string();
        let variant = method::variant_name(&name);
        let Some(other) = self.0.get(&variant) else {
            self.0.insert(variant, name);
            return false;
        };
        let known = *other == name;
        let complaint = if known {
            format!("there are two methods `{name}`: a method is called by its name; rename one")
        } else {
            format!("the methods `{other}` and `{name}` would both be the variant `{variant}`: rename one")
        };
        problems.at(ident, complaint);
        known
    }
}
