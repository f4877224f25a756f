//! The macro's arguments: `"acme.toml"`, or `/// docs  pub struct Acme = "acme.toml";  fn …`.

use proc_macro2::{Delimiter, Ident, Literal, Span, TokenStream, TokenTree};

use crate::Error;

/// What the author wrote.
#[derive(Debug)]
pub(crate) struct Input {
    /// Path of the file below the folder of `Cargo.toml`.
    pub(crate) file: String,
    /// Where the file is named: errors point there.
    pub(crate) span: Span,
    /// Attributes and visibility of the type.
    pub(crate) prefix: TokenStream,
    /// Name of the type.
    pub(crate) name: Ident,
    /// Functions that take the place of the declared ones.
    pub(crate) functions: Vec<Function>,
}

/// A function written in Rust.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) code: TokenStream,
}

const USAGE: &str = "want a file, \"acme.toml\", or a type, `pub struct Acme = \"acme.toml\";`";

pub(crate) fn parse(tokens: TokenStream) -> Result<Input, Error> {
    let mut tokens = tokens.into_iter().peekable();
    if let Some(TokenTree::Literal(literal)) = tokens.peek() {
        let (file, span) = (text(literal)?, literal.span());
        tokens.next();
        if let Some(more) = tokens.next() {
            return Err(Error::new(more.span(), "nothing can follow the file here: name the type to write functions"));
        }
        let prefix = quote::quote!(
            #[doc = "The plugin."]
            pub
        );
        let name = Ident::new("Plugin", span);
        return Ok(Input { file, span, prefix, name, functions: vec![] });
    }
    let mut prefix = TokenStream::new();
    loop {
        match tokens.next() {
            Some(TokenTree::Ident(word)) if word == "struct" => break,
            Some(token) => prefix.extend([token]),
            None => return Err(Error::new(Span::call_site(), USAGE)),
        }
    }
    let Some(TokenTree::Ident(name)) = tokens.next() else { return Err(Error::new(Span::call_site(), USAGE)) };
    let mut expect = |sign: char| match tokens.next() {
        Some(TokenTree::Punct(punct)) if punct.as_char() == sign => Ok(()),
        other => Err(Error::new(other.map_or_else(Span::call_site, |token| token.span()), USAGE)),
    };
    expect('=')?;
    let Some(TokenTree::Literal(literal)) = tokens.next() else { return Err(Error::new(name.span(), USAGE)) };
    let mut expect = |sign: char| match tokens.next() {
        Some(TokenTree::Punct(punct)) if punct.as_char() == sign => Ok(()),
        other => Err(Error::new(other.map_or_else(Span::call_site, |token| token.span()), USAGE)),
    };
    expect(';')?;
    let (file, span) = (text(&literal)?, literal.span());
    Ok(Input { file, span, prefix, name, functions: functions(tokens)? })
}

/// A function ends with the braces that follow `fn`.
fn functions(tokens: impl Iterator<Item = TokenTree>) -> Result<Vec<Function>, Error> {
    let mut functions: Vec<Function> = Vec::new();
    let mut code = TokenStream::new();
    let mut name: Option<Ident> = None;
    let mut after_fn = false;
    let mut last = Span::call_site();
    for token in tokens {
        last = token.span();
        let is_body = matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        match &token {
            TokenTree::Ident(word) if after_fn && name.is_none() => name = Some(word.clone()),
            TokenTree::Ident(word) if word == "fn" => after_fn = true,
            _ => {}
        }
        code.extend([token]);
        if is_body && let Some(name) = name.take() {
            if functions.iter().any(|function| name == function.name.as_str()) {
                return Err(Error::new(name.span(), format!("function {name} stands here twice")));
            }
            functions.push(Function { name: name.to_string(), code: std::mem::take(&mut code) });
            after_fn = false;
        }
    }
    if code.is_empty() { Ok(functions) } else { Err(Error::new(last, "only whole functions can stand here")) }
}

/// The text of a plain string literal.
fn text(literal: &Literal) -> Result<String, Error> {
    let source = literal.to_string();
    let inner = source.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.is_empty() && !inner.contains(['\\', '"']) => Ok(inner.to_owned()),
        _ => Err(Error::new(literal.span(), "want the name of the file as a plain \"text\"")),
    }
}
