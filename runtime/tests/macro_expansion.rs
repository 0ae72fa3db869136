//! What `#[qmesh::service]` makes fits into programs of every shape, under lints that forgive nothing.
#![deny(
    missing_docs,
    unreachable_pub,
    unused,
    unused_qualifications,
    async_fn_in_trait,
    elided_lifetimes_in_paths,
    missing_debug_implementations,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]

use qmesh::__private::{Contract, Method, Parameter};

/// Names that generated code uses for itself.
pub mod hostile {
    use qmesh::Context;

    /// A contract whose names are those of the generated code.
    #[qmesh::service(name = "hostile.S")]
    pub trait S {
        /// Parameters with our names.
        #[expect(clippy::too_many_arguments, reason = "each is a name of the generated code")]
        async fn call(
            &self,
            cx: &Context,
            reply: u8,
            service: String,
            call: u8,
            codec: u8,
            arguments: u8,
            method: u8,
            responder: u8,
            failure: u8,
            client: u8,
        ) -> u8;
        /// A parameter with the name of the context, which this method does not take.
        async fn send(&self, cx: String) -> Result<String, String>;
        /// The name of a trait's method.
        async fn clone(&mut self);
        /// Raw names travel without their prefix.
        async fn r#match(&self, r#type: Option<std::time::Duration>) -> (u8,);
    }
}

mod shapes {
    #[qmesh::service(name = "shapes.Shared", crate = ::qmesh)]
    pub(crate) trait Shared: std::fmt::Debug + Send {
        async fn only(&self);
    }

    #[qmesh::service(name = "shapes.Exclusive")]
    pub(super) trait Exclusive {
        async fn only(&mut self);
    }

    macro_rules! made_by_a_macro {
        ($visibility:vis $name:ident, $ty:ty, $service:literal) => {
            #[qmesh::service(name = $service)]
            $visibility trait $name {
                async fn echo(&self, value: $ty) -> Vec<$ty>;
            }
        };
    }
    made_by_a_macro!(pub(crate) Made, std::time::Duration, "shapes.Made");
}

fn signatures<C: Contract>() -> Vec<String> {
    C::METHODS.iter().map(ToString::to_string).collect()
}

#[test]
fn names_of_generated_code_are_free_for_the_user() {
    assert_eq!(hostile::SContract::NAME, "hostile.S");
    let parameters = hostile::SContract::METHODS[0].parameters;
    assert_eq!(parameters.len(), 9, "the context does not travel");
    assert_eq!(parameters[1], Parameter { name: "service", ty: "String" });
}

#[test]
fn a_method_says_all_that_both_sides_compare() {
    let expected = Method {
        name: "match",
        parameters: &[Parameter { name: "type", ty: "Option<Duration>" }],
        output: "(u8,)",
        idempotent: false,
        one_way: false,
        upload: false,
        download: false,
        exclusive: false,
    };
    assert_eq!(hostile::SContract::METHODS[3], expected);
    assert!(hostile::SContract::METHODS[2].exclusive);
}

#[test]
fn contracts_may_be_private_and_made_by_macros() {
    assert_eq!(signatures::<shapes::SharedContract>(), ["only() -> ()"]);
    assert_eq!(signatures::<shapes::ExclusiveContract>(), ["only() -> ()"]);
    assert_eq!(signatures::<shapes::MadeContract>(), ["echo(value: Duration) -> Vec<Duration>"]);
}

#[test]
fn a_contract_may_live_in_a_function() {
    #[qmesh::service(name = "inner.Inner")]
    trait Inner {
        async fn add(&self, left: u32, right: u32) -> u32;
    }
    #[derive(Debug)]
    struct Adder;
    impl Inner for Adder {
        async fn add(&self, left: u32, right: u32) -> u32 {
            left + right
        }
    }
    drop(InnerServer::new(|| Adder));
    assert_eq!(signatures::<InnerContract>(), ["add(left: u32, right: u32) -> u32"]);
}
