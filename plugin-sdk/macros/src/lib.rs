//! The macro `declarative!` of `retrace-plugin-sdk`, which re-exports it: use it from there.
//!
//! `schema` is the form of the file, `check` turns it into a `model` that keeps every rule of the contract that can
//! be known before a call, `emit` writes the model down as constants, `input` takes the macro's arguments apart.
//! Promises: a file that the macro accepts makes a plugin whose answers the host accepts; an error names the file, the
//! key and what is wrong; nothing but that file is read.
//! Not here: what answers a call (`retrace_plugin_sdk::declared`).

extern crate alloc;

mod check;
mod check_guess;
mod check_repository;
mod emit;
mod grammar;
mod input;
mod model;
mod schema;
mod select;
mod template;
#[cfg(test)]
mod tests;

use std::{env, fs, path::Path};

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

/// Makes a plugin of a TOML file. See `retrace_plugin_sdk::declarative!`.
#[proc_macro]
pub fn declarative(tokens: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(tokens.into()).unwrap_or_else(|error| error.into_tokens()).into()
}

/// What stops the build, and where in the source to point at.
#[derive(Debug)]
struct Error {
    span: Span,
    message: String,
}

impl Error {
    fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    fn into_tokens(self) -> TokenStream {
        let message = self.message;
        quote_spanned!(self.span => ::core::compile_error!(#message);)
    }
}

fn expand(tokens: TokenStream) -> Result<TokenStream, Error> {
    let input = input::parse(tokens)?;
    let folder = env::var("CARGO_MANIFEST_DIR")
        .map_err(|_| Error::new(input.span, "CARGO_MANIFEST_DIR is not set: build with cargo"))?;
    let text = fs::read_to_string(Path::new(&folder).join(&input.file))
        .map_err(|error| Error::new(input.span, format!("{}: {error} (looked for beside Cargo.toml)", input.file)))?;
    let model = load(&input.file, &text).map_err(|message| Error::new(input.span, message))?;
    let code = emit::plugin(&model, &input);
    // Makes cargo build the crate again when the file changes; the text itself does not get into the artifact.
    let file = format!("/{}", input.file);
    Ok(quote! {
        const _: &str = ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #file));
        #code
    })
}

/// Reads and checks a file; the error is the whole text for the author.
fn load(file: &str, text: &str) -> Result<model::Model, String> {
    let schema = schema::parse(text).map_err(|problem| format!("{file}: {problem}"))?;
    check::check(schema).map_err(|problem| format!("{file}: {problem}"))
}
