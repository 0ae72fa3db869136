//! The macro as a function from tokens to tokens.

mod complaints;
mod expansion;
mod spelling;

use proc_macro2::TokenStream;

use crate::contract::Target;
use crate::problems::Problems;

/// The complaints about `item` under `#[qmesh::service(attribute)]`, in order.
fn complaints(attribute: &str, item: &str) -> Vec<String> {
    let mut problems = Problems::default();
    drop(Target::parse(tokens(attribute), tokens(item), &mut problems));
    problems.messages()
}

/// The expansion as a person would have written it.
fn expand(attribute: &str, item: &str) -> String {
    let expansion = crate::expand::service(tokens(attribute), tokens(item));
    let file = syn::parse2(expansion).expect("the expansion is a list of items");
    prettyplease::unparse(&file)
}

fn tokens(text: &str) -> TokenStream {
    text.parse().expect("the test is made of tokens")
}
