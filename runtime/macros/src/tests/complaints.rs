//! Every complaint says what is wrong and what to write instead.

use super::complaints;

/// Checks that the method `source`, in a sound contract, causes exactly these complaints.
#[track_caller]
fn method(source: &str, expected: &[&str]) {
    item(&format!("trait Chat {{ {source} async fn sound(&self); }}"), expected);
}

#[track_caller]
fn item(source: &str, expected: &[&str]) {
    check(r#"name = "chat.Chat""#, source, expected);
}

#[track_caller]
fn options(attribute: &str, expected: &[&str]) {
    check(attribute, "pub trait Chat { async fn sound(&self); }", expected);
}

#[track_caller]
fn check(attribute: &str, source: &str, expected: &[&str]) {
    assert_eq!(complaints(attribute, source), expected, "{source}");
}

#[test]
fn a_sound_contract_causes_none() {
    options(r#"name = "chat.Chat""#, &[]);
    options(r#"name = "Chat_2.v1", crate = ::mesh::qmesh,"#, &[]);
    options(&format!("name = {:?}", "n".repeat(100)), &[]);
    method(
        "#[idempotent] #[cold] async fn a(&self, cx: &qmesh::Context, a: (u8, [u8; 4])) -> Result<(), E>;",
        &[],
    );
    method("#[oneway] async fn a(&mut self) -> ();", &[]);
    method("async fn a(&self, own: Receiver, at: http::Sender) -> Sender;", &[]);
}

const GRAMMAR: &str =
    "a name is made of letters, digits and `_` in segments joined by `.`, as in `chat.Chat`";

#[test]
fn the_name_is_required() {
    let missing =
        "a service needs a name, by which the mesh finds it: write `#[qmesh::service(name = \"chat.Chat\")]`";
    options("", &[missing]);
    options("crate = qmesh", &[missing]);
    options(r#""a.B""#, &["an option is `key = value`: write `name = \"a.B\"`"]);
    options("name", &["an option is `key = value`: write `name = \"chat.Chat\"`", missing]);
}

#[test]
fn the_name_follows_its_grammar() {
    options("name = chat", &["the name is a string: write `name = \"chat.Chat\"`"]);
    options("name = ", &["the name is a string: write `name = \"chat.Chat\"`"]);
    options(r#"name = """#, &[&format!("the name is empty: {GRAMMAR}")]);
    options(r#"name = "chat/Chat""#, &[&format!("a name cannot hold '/': {GRAMMAR}")]);
    options(r#"name = "chät.Chat""#, &[&format!("a name cannot hold 'ä': {GRAMMAR}")]);
    options(r#"name = "chat..Chat""#, &[&format!("a segment of the name is empty: {GRAMMAR}")]);
    options(r#"name = "chat.Chat.""#, &[&format!("a segment of the name is empty: {GRAMMAR}")]);
    let long = format!("name = {:?}", "n".repeat(101));
    options(&long, &["the name has 101 characters: at most 100 fit into a node's record"]);
}

#[test]
fn options_are_known_and_given_once() {
    options(
        r#"name = "a", version = 2, name = "b""#,
        &[
            "there is no option `version`: the options are `name`, the service's name in the mesh, \
             and `crate`, the path of the crate `qmesh`",
            "the option `name` is given twice: keep one of the two",
        ],
    );
    options(
        r#"name = "a", crate = "qmesh""#,
        &["`crate` is the path of the crate `qmesh`, without quotes: write `crate = qmesh`"],
    );
}

#[test]
fn a_contract_is_a_trait() {
    let complaint =
        "a contract is a trait: put `#[qmesh::service]` on a trait and implement the trait for your type";
    for source in
        ["struct Chat;", "enum Chat {}", "fn chat() {}", "impl Chat {}", "mod chat {}", "trait C = D;"]
    {
        item(source, &[complaint]);
    }
    item("impl Chat for Rooms {}", &[complaint]);
}

#[test]
fn a_trait_has_a_plain_header() {
    item(
        "unsafe trait Chat<T> where T: Send { async fn sound(&self); }",
        &[
            "a contract cannot be an unsafe trait: its callers are remote; remove `unsafe`",
            "a contract cannot be generic: its methods have one form on the wire; write the types out",
            "a contract cannot have a where clause: write bounds of the service as supertraits",
        ],
    );
    item("trait Chat {}", &["a contract has at least one method: write `async fn` methods into the trait"]);
}

#[test]
fn a_trait_holds_methods_alone() {
    method(
        "const LIMIT: u32; type Line; lines!(); pub async fn a(&self);",
        &[
            "a contract has no associated constants: callers know the service by its methods alone; \
             write a constant beside the trait",
            "a contract has no associated types: both sides must know the same types; write the type out",
            "a contract cannot call macros: what they make is unknown here; write the methods out",
            "a contract holds methods alone: write `async fn name(&self, …) -> …;`",
        ],
    );
}

#[test]
fn methods_have_names_of_their_own() {
    for name in ["local", "pinned"] {
        let complaint =
            format!("the name `{name}` is reserved for the client itself: give this method another name");
        method(&format!("async fn {name}(&self);"), &[&complaint]);
    }
    method(
        "async fn a_b(&self); async fn a__b(&self);",
        &["the methods `a_b` and `a__b` would both be the variant `AB`: rename one"],
    );
    method(
        "async fn ab(&self); async fn ab(&self, a: u8);",
        &["there are two methods `ab`: a method is called by its name; rename one"],
    );
    for name in ["self_", "__", "_1"] {
        let complaint = format!(
            "the name `{name}` has no form in CamelCase, which the enum of calls needs: \
             begin it with a letter and a word of its own"
        );
        method(&format!("async fn {name}(&self);"), &[&complaint]);
    }
}

#[test]
fn a_contract_has_at_most_256_methods() {
    let methods =
        |count: usize| -> String { (0..count).map(|at| format!("async fn m{at}(&self);")).collect() };
    item(&format!("trait Chat {{ {} }}", methods(256)), &[]);
    item(
        &format!("trait Chat {{ {} }}", methods(257)),
        &["a contract has at most 256 methods, and this one has 257: split it into two services"],
    );
}

#[test]
fn a_method_is_a_plain_async_fn_without_a_body() {
    method(
        "fn a(&self) -> u8;",
        &["a method of a contract is async, as its answer comes from elsewhere: write `async fn a`"],
    );
    method(
        "async fn a(&self) {}",
        &["a method of a contract has no default body: a caller cannot know whether a service replaced it; \
           end the method with `;`"],
    );
    method(
        "async unsafe extern \"C\" fn a(&self);",
        &[
            "a method of a contract cannot be unsafe: a remote caller can promise nothing; remove the qualifier",
            "a method of a contract has no ABI: it is called over the mesh; remove `extern`",
        ],
    );
    method(
        "const async fn a(&self);",
        &["a method of a contract cannot be const: it runs elsewhere; remove `const`"],
    );
    method(
        "async fn a<T>(&self);",
        &["a method of a contract cannot be generic: it has one form on the wire; write the types out"],
    );
    method(
        "async fn a<'a>(&self);",
        &[
            "a method of a contract has no lifetimes: arguments and answers travel, so they own what they hold; \
           take and return owned types",
        ],
    );
    method(
        "async fn a(&self) where Self: Sized;",
        &["a method of a contract has no where clause: its types are known; \
           write bounds of the service as supertraits of the contract"],
    );
}

#[test]
fn a_method_borrows_the_service() {
    const CHOICE: &str = "write `&self`, which runs beside other calls, or `&mut self`, which runs alone";
    let consumes = format!("a call cannot consume the service or change how it is held: {CHOICE}");
    for source in ["self", "mut self", "self: Box<Self>", "self: &Self"] {
        method(&format!("async fn a({source});"), &[&consumes]);
    }
    let missing = format!("a method of a contract is called on the service: {CHOICE}");
    method("async fn a();", &[&missing]);
    method("async fn a(a: u8);", &[&missing]);
    method("async fn a(&'static self);", &[&format!("a receiver of a contract has no lifetime: {CHOICE}")]);
}

#[test]
fn marks_are_given_once_and_make_sense() {
    method("#[oneway] #[oneway] async fn a(&self);", &["`#[oneway]` is given twice: remove one"]);
    method("#[idempotent] #[idempotent] async fn a(&self);", &["`#[idempotent]` is given twice: remove one"]);
    method(
        "#[idempotent(true)] async fn a(&self);",
        &["`idempotent` takes no arguments: write `#[idempotent]`"],
    );
    method("#[oneway = 1] async fn a(&self);", &["`oneway` takes no arguments: write `#[oneway]`"]);
    method(
        "#[oneway] #[idempotent] async fn a(&self);",
        &["a one-way method cannot be idempotent: nobody learns that a one-way send failed, \
           so nobody retries it; remove `#[idempotent]`"],
    );
    method(
        "#[oneway] async fn a(&self) -> u8;",
        &["a one-way method returns nothing, as nobody waits for it: remove the return type or `#[oneway]`"],
    );
}

#[test]
fn a_method_is_not_conditional() {
    let complaint = "a method cannot be conditional: callers are built apart from services, so a contract is the same \
                     in every build; put the condition on the whole trait, or split the trait into two services";
    method("#[cfg(unix)] async fn a(&self);", &[complaint]);
    method("#[cfg_attr(unix, cold)] async fn a(&self);", &[complaint]);
}

#[test]
fn parameters_are_plain_names() {
    let pattern = "a parameter of a contract is a plain name, by which its value travels: \
                   write `name: Type` here and the pattern in the implementation";
    for source in ["(a, b): (u8, u8)", "_: u8", "mut a: u8", "ref a: u8", "Line { who }: Line"] {
        method(&format!("async fn a(&self, {source});"), &[pattern]);
    }
    let twice = "two parameters are called `a`: both sides know them by name; rename one";
    method("async fn a(&self, a: u8, a: u8);", &[twice]);
    method("async fn a(&self, a: u8, r#a: u8);", &[twice]);
    method(
        "async fn a(&self, #[serde(default)] a: u8);",
        &["a parameter of a contract has no attributes: its name and its type say how it travels; \
           remove it or put it on a field of a struct"],
    );
}

#[test]
fn the_context_is_borrowed_and_comes_first() {
    let borrows = "a handler borrows the context of its call: write `cx: &Context`; \
                   to send a type of your own that is called `Context`, give it another name";
    let first = "the context comes first, and once, as callers do not send it: write `cx: &Context` right after the receiver";
    method("async fn a(&self, cx: Context);", &[borrows]);
    method("async fn a(&self, cx: &mut qmesh::Context);", &[borrows]);
    method("async fn a(&self, a: u8, cx: &Context);", &[first]);
    method("async fn a(&self, cx: &Context, more: &Context);", &[first]);
}

#[test]
fn arguments_own_what_they_hold() {
    let arguments = |owned: &str, written: &str| {
        format!("arguments travel, so they own what they hold: take `{owned}` instead of {written}")
    };
    for (source, owned, written) in [
        ("&str", "String", "`&str`"),
        ("&[Line]", "Vec<Line>", "`&[Line]`"),
        ("&mut chat::Line", "Line", "`&mut Line`"),
        ("Option<&str>", "String", "`&str`"),
        ("Vec<(u8, &'static str)>", "String", "`&str`"),
        ("str", "String", "`str`"),
        ("Box<[u8]>", "Vec<u8>", "a slice"),
        ("*const u8", "u8", "a pointer"),
    ] {
        method(&format!("async fn a(&self, a: {source});"), &[&arguments(owned, written)]);
    }
    method(
        "async fn a(&self, a: Cow<'static, Line>);",
        &["arguments travel, so they borrow nothing: take a type without lifetimes"],
    );
    method(
        "async fn a(&self) -> Result<&str, E>;",
        &["answers travel, so they own what they hold: return `String` instead of `&str`"],
    );
}

#[test]
fn values_have_a_form_on_the_wire() {
    for (source, complaint) in [
        ("impl Into<String>", "`impl Trait` has no form on the wire: take a type that you name"),
        ("Box<dyn Fn()>", "a trait object has no form on the wire: take an enum or a struct that you name"),
        ("fn(u8) -> u8", "a function has no form on the wire: take data that says what to do"),
        ("line!()", "a type made by a macro has no form on the wire: take a type that you write out"),
        ("Vec<_>", "a type that is left out has no form on the wire: take a type that you write out"),
        ("Self", "`Self` is the service, which does not travel: take a type that you name"),
        ("Vec<Self::Line>", "`Self` is the service, which does not travel: take a type that you name"),
        ("&Self", "`Self` is the service, which does not travel: take a type that you name"),
    ] {
        method(&format!("async fn a(&self, a: {source});"), &[complaint]);
    }
    method(
        "async fn a(&self) -> impl Stream<Item = u8>;",
        &["`impl Trait` has no form on the wire: return a type that you name"],
    );
    method("async fn a(&self) -> !;", &["the type without values has no form on the wire: return `()`"]);
}

#[test]
fn streams_travel_beside_the_data() {
    method("async fn a(&self, said: Receiver<String>) -> Result<qmesh::Receiver<Line>, E>;", &[]);
    let complaint = "a stream travels beside the data: take one parameter of type `Receiver<T>`, \
                     or return `Receiver<T>` or `Result<Receiver<T>, E>`";
    method("async fn a(&self, a: Option<Sender<u8>>) -> Sender<u8>;", &[complaint, complaint]);
    method("async fn a(&self, a: Vec<Receiver<u8>>);", &[complaint]);
    method("async fn a(&self, a: Receiver<Receiver<u8>>);", &[complaint]);
    method(
        "async fn a(&self, a: Receiver<u8>, b: Receiver<u8>);",
        &["a method takes one stream: put both kinds of items into one enum, or make it two methods"],
    );
    method(
        "async fn a(&self, a: Receiver<&str>);",
        &["arguments travel, so they own what they hold: take `String` instead of `&str`"],
    );
    method(
        "#[oneway] async fn a(&self, a: Receiver<u8>);",
        &["a one-way method takes no stream, as nobody would learn that it broke: remove `#[oneway]`"],
    );
    method(
        "#[idempotent] async fn a(&self) -> Receiver<u8>;",
        &["a call with streams is not repeated, as its items are gone: remove `#[idempotent]`"],
    );
}

#[test]
fn a_result_names_its_error() {
    let complaint = |value: &str| {
        format!(
            "this `Result` hides its error type, which callers must know: \
             write the error type out, as in `Result<{value}, ChatError>`"
        )
    };
    method("async fn a(&self) -> Result<chat::Line>;", &[&complaint("Line")]);
    method("async fn a(&self) -> std::io::Result<Vec<u8>>;", &[&complaint("Vec<u8>")]);
    method("async fn a(&self) -> fmt::Result;", &[&complaint("T")]);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    check(
        "nam = \"a\"",
        "trait Chat { fn a(self, x: &str); async fn b(&self) -> Result<u8>; const C: u8; }",
        &[
            "there is no option `nam`: the options are `name`, the service's name in the mesh, \
             and `crate`, the path of the crate `qmesh`",
            "a service needs a name, by which the mesh finds it: write `#[qmesh::service(name = \"chat.Chat\")]`",
            "a method of a contract is async, as its answer comes from elsewhere: write `async fn a`",
            "a call cannot consume the service or change how it is held: \
             write `&self`, which runs beside other calls, or `&mut self`, which runs alone",
            "arguments travel, so they own what they hold: take `String` instead of `&str`",
            "this `Result` hides its error type, which callers must know: \
             write the error type out, as in `Result<u8, ChatError>`",
            "a contract has no associated constants: callers know the service by its methods alone; \
             write a constant beside the trait",
        ],
    );
}
