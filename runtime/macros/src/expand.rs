//! The items made of a contract: one file each, in the order in which they are generated.
//!
//! Two rules hold in all of them. What the macro adds carries the macro's hygiene ([`own`], `generate!`), so that it clashes with no
//! name of the user's and no lint of the user's crate speaks of code that the user did not write. And every path is
//! absolute, so that it means the same in every module.

/// Tokens with the macro's hygiene, as opposed to those of `quote!`, which pose as the user's.
macro_rules! generate {
    ($($token:tt)*) => { quote::quote_spanned!(proc_macro2::Span::mixed_site()=> $($token)*) };
}

mod arguments;
mod call;
mod client;
mod contract;
mod demand;
mod serve;
mod server;
mod trait_;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote_spanned};
use syn::Path;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;

use crate::contract::{Contract, Method, Output, Target};
use crate::problems::Problems;

/// The whole macro: problems first, then everything that is sound.
pub(crate) fn service(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut problems = Problems::default();
    let target = Target::parse(attribute, item, &mut problems);
    let mut expansion = problems.into_compile_errors();
    expansion.extend(match target {
        Target::Contract(contract) => Expansion::new(&contract).expand(),
        Target::Other(source) => source,
    });
    expansion
}

/// A contract with the names of what is made of it.
struct Expansion<'a> {
    contract: &'a Contract,
    /// `::qmesh::__private`, where everything that generated code needs is kept.
    private: TokenStream,
    /// The trait's visibility, which everything generated shares.
    visibility: TokenStream,
    /// `Chat`
    service: Ident,
    /// `ChatCall`
    call: Ident,
    /// `ChatContract`
    contract_type: Ident,
    /// `ChatServer`
    server: Ident,
    /// `ChatClient`
    client: Ident,
    /// The type parameter that stands for the user's implementation.
    implementation: Ident,
}

/// `Fallible<Vec<Line>, ChatError>`: what a method answers. It stands where the user wrote the type that is returned.
fn shape(output: &Output, private: &TokenStream) -> TokenStream {
    let Output { value, item, error } = output;
    let place = own_span(value.span());
    let private = located(private, place);
    match (item, error) {
        (None, None) => quote_spanned!(place=> #private::Plain<#value>),
        (None, Some(error)) => quote_spanned!(place=> #private::Fallible<#value, #error>),
        (Some(item), None) => quote_spanned!(place=> #private::Streaming<#item>),
        (Some(item), Some(error)) => quote_spanned!(place=> #private::FallibleStreaming<#item, #error>),
    }
}

// === impl Expansion ===

impl<'a> Expansion<'a> {
    fn new(contract: &'a Contract) -> Self {
        let service = own(&contract.declaration.ident);
        let bare = service.unraw();
        let runtime = &contract.runtime;
        let visibility = &contract.declaration.vis;
        let implementation = if bare == "S" { "T" } else { "S" };
        Self {
            contract,
            private: generate!(#runtime::__private),
            visibility: own_tokens(quote::quote!(#visibility)),
            call: format_ident!("{}Call", bare),
            contract_type: format_ident!("{}Contract", bare),
            server: format_ident!("{}Server", bare),
            client: format_ident!("{}Client", bare),
            implementation: Ident::new(implementation, Span::mixed_site()),
            service,
        }
    }

    fn expand(&self) -> TokenStream {
        let mut items = self.declare_trait();
        items.extend(self.contract.methods.iter().map(|method| self.declare_arguments(method)));
        items.extend(self.declare_call());
        items.extend(self.declare_contract());
        items.extend(self.demand_travelling_types());
        items.extend(self.implement_serve());
        items.extend(self.declare_server());
        items.extend(self.declare_client());
        items
    }

    /// `Reply<Vec<Line>, ChatError>`: where a method's answer goes.
    fn reply(&self, method: &Method) -> TokenStream {
        let Self { private, .. } = self;
        if method.is_streaming() {
            let shape = shape(&method.output, private);
            return generate!(#private::StreamReply<#shape>);
        }
        let Output { value, error, .. } = &method.output;
        match error {
            Some(error) => generate!(#private::Reply<#value, #error>),
            None => generate!(#private::Reply<#value, #private::Never>),
        }
    }

    /// The path of serde as the text that its derive macros want.
    fn serde_path(&self) -> String {
        let Path { leading_colon, segments } = &self.contract.runtime;
        let leading = if leading_colon.is_some() { "::" } else { "" };
        let segments: Vec<String> = segments.iter().map(|segment| segment.ident.to_string()).collect();
        format!("{leading}{}::__private::serde", segments.join("::"))
    }
}

/// A user's identifier where it stands, but as the macro's word.
fn own(ident: &Ident) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(own_span(ident.span()));
    ident
}

/// A place in the user's code, with the macro's hygiene.
fn own_span(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

/// The user's tokens where they stand, but as the macro's words.
fn own_tokens(tokens: TokenStream) -> TokenStream {
    respan(tokens, &own_span)
}

/// Tokens of the macro's as if they stood elsewhere in the user's code, so that a complaint about them points there.
fn located(tokens: &TokenStream, place: Span) -> TokenStream {
    respan(tokens.clone(), &|_| own_span(place))
}

fn respan(tokens: TokenStream, change: &impl Fn(Span) -> Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|tree| match tree {
            TokenTree::Group(group) => {
                let mut changed = Group::new(group.delimiter(), respan(group.stream(), change));
                changed.set_span(change(group.span()));
                TokenTree::Group(changed)
            }
            mut leaf => {
                leaf.set_span(change(leaf.span()));
                leaf
            }
        })
        .collect()
}
