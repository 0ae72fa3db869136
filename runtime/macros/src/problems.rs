//! What is wrong with a contract, collected so that one compilation reports all of it.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The problems found so far, each at the tokens that cause it.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    error: Option<syn::Error>,
    count: usize,
}

// === impl Problems ===

impl Problems {
    /// Reports `message` under all of `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    /// Reports `message` at a span, for what is missing and so has no tokens.
    pub(crate) fn at_span(&mut self, span: Span, message: impl Display) {
        self.add(syn::Error::new(span, message));
    }

    /// Reports what the parser found.
    pub(crate) fn add(&mut self, error: syn::Error) {
        self.count += 1;
        match &mut self.error {
            Some(first) => first.combine(error),
            None => self.error = Some(error),
        }
    }

    /// How many there are: a caller compares it before and after a step to learn whether the step was sound.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// One `compile_error!` for each problem.
    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.error.map_or_else(TokenStream::new, |error| error.into_compile_error())
    }

    /// The messages, in the order of discovery.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.error.iter().flat_map(|error| error.clone().into_iter().map(|each| each.to_string())).collect()
    }
}
