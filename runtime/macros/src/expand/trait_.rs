//! The trait that a service implements: the user's, with futures that may move between threads.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::{ReturnType, Token, TypeParamBound};

use super::Expansion;
use crate::contract::Method;

// === impl Expansion ===

impl Expansion<'_> {
    /// `pub trait Chat: Send + Sync + Sized + 'static { … }`
    pub(super) fn declare_trait(&self) -> TokenStream {
        let declaration = &self.contract.declaration;
        let (attributes, visibility, ident) = (&declaration.attrs, &declaration.vis, &declaration.ident);
        let (trait_token, written) = (&declaration.trait_token, declaration.supertraits.iter());
        let supplied = self.supplied_supertraits();
        let methods = self.contract.methods.iter().map(declare_method);
        // A refused method is compiled as it stands: the one complaint about it is ours.
        let refused = self.contract.refused.iter().map(|item| generate!(#[allow(async_fn_in_trait)] #item));
        // The braces are the macro's: the trait must not look unused to a program that is a client alone.
        generate! {
            #(#attributes)*
            #visibility #trait_token #ident: #(#written +)* #supplied {
                #(#methods)*
                #(#refused)*
            }
        }
    }

    /// What a service must be to live in an actor, without what the user wrote already.
    fn supplied_supertraits(&self) -> TokenStream {
        let markers = ["Send", "Sync", "Sized"].map(|marker| syn::Ident::new(marker, Span::mixed_site()));
        let written: Vec<String> =
            self.contract.declaration.supertraits.iter().filter_map(last_segment).collect();
        let missing = markers.iter().filter(|marker| !written.iter().any(|bound| *marker == bound));
        generate!(#(::core::marker::#missing +)* 'static)
    }
}

fn last_segment(bound: &TypeParamBound) -> Option<String> {
    match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// `fn history(&self, room: String) -> impl Future<Output = …> + Send;`
fn declare_method(method: &Method) -> TokenStream {
    let attributes = &method.attributes;
    let mut signature = method.signature.clone();
    let output = match std::mem::replace(&mut signature.output, ReturnType::Default) {
        ReturnType::Default => generate!(()),
        ReturnType::Type(_, ty) => ty.into_token_stream(),
    };
    signature.asyncness = None::<Token![async]>;
    let semi = &method.semi;
    generate! {
        #(#attributes)*
        #signature -> impl ::core::future::Future<Output = #output> + ::core::marker::Send #semi
    }
}
