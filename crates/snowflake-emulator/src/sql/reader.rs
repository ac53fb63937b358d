//! A cursor over the tokens of one statement, for what the SQL parser does not read.

use sqlparser::ast::{Expr, Query};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::error::SqlError;

/// One statement: its tokens without blanks and comments, and its text.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) tokens: Vec<TokenWithSpan>,
    pub(crate) text: String,
}

/// Cuts a text into statements at its semicolons; strings, comments and `$$` bodies are left whole.
///
/// # Errors
/// When a string or comment is not closed.
pub(crate) fn split(text: &str) -> Result<Vec<Source>, SqlError> {
    let tokens = Tokenizer::new(&SnowflakeDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::syntax(error.to_string()))?;
    let lines = LineStarts::new(text);
    let mut sources = Vec::new();
    let mut current: Vec<TokenWithSpan> = Vec::new();
    for token in tokens {
        match token.token {
            Token::SemiColon => push_source(&mut sources, &mut current, text, &lines),
            Token::Whitespace(_) | Token::EOF => {}
            _ => current.push(token),
        }
    }
    push_source(&mut sources, &mut current, text, &lines);
    Ok(sources)
}

fn push_source(sources: &mut Vec<Source>, tokens: &mut Vec<TokenWithSpan>, text: &str, lines: &LineStarts) {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return };
    let range = lines.offset(text, first.span.start)..lines.offset(text, last.span.end);
    let text = text.get(range).unwrap_or_default().to_owned();
    sources.push(Source { tokens: std::mem::take(tokens), text });
}

/// Byte offsets of the lines of a text.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn new(text: &str) -> LineStarts {
        let mut starts = vec![0];
        starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        LineStarts(starts)
    }

    /// Lines and columns of tokens count from 1, columns in characters.
    fn offset(&self, text: &str, at: sqlparser::tokenizer::Location) -> usize {
        let line = usize::try_from(at.line).unwrap_or(1).saturating_sub(1);
        let column = usize::try_from(at.column).unwrap_or(1).saturating_sub(1);
        let start = self.0.get(line).copied().unwrap_or(text.len());
        let rest = text.get(start..).unwrap_or_default();
        start + rest.char_indices().nth(column).map_or(rest.len(), |(offset, _)| offset)
    }
}

/// The cursor.
pub(crate) struct Reader<'a> {
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the start of a statement.
    pub(crate) fn new(tokens: &'a [TokenWithSpan]) -> Reader<'a> {
        Reader { tokens, at: 0 }
    }

    /// The next token.
    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    /// Whether all tokens were read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Takes the next token.
    pub(crate) fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    /// The next unquoted word in upper case.
    pub(crate) fn peek_word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(Word { value, quote_style: None, .. })) => Some(value.to_uppercase()),
            _ => None,
        }
    }

    /// Takes these words if all of them are next.
    pub(crate) fn accept(&mut self, words: &str) -> bool {
        let start = self.at;
        for word in words.split(' ') {
            if self.peek_word().as_deref() != Some(word) {
                self.at = start;
                return false;
            }
            self.at += 1;
        }
        true
    }

    /// Takes a token if it is next.
    pub(crate) fn accept_token(&mut self, token: &Token) -> bool {
        let matches = self.peek() == Some(token);
        self.at += usize::from(matches);
        matches
    }

    /// Takes these words.
    ///
    /// # Errors
    /// When something else is next.
    pub(crate) fn expect(&mut self, words: &str) -> Result<(), SqlError> {
        if self.accept(words) { Ok(()) } else { Err(self.unexpected(words)) }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When something else is next.
    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.accept_token(token) { Ok(()) } else { Err(self.unexpected(&token.to_string())) }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// When a token is left.
    pub(crate) fn finish(&self) -> Result<(), SqlError> {
        if self.is_at_end() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    /// What stands where `wanted` should.
    pub(crate) fn unexpected(&self, wanted: &str) -> SqlError {
        let found = self.peek().map_or("the end of the statement".to_owned(), |token| format!("'{token}'"));
        let place = self.tokens.get(self.at).map_or(String::new(), |token| {
            format!("error line {} at position {} ", token.span.start.line, token.span.start.column)
        });
        SqlError::syntax(format!("syntax {place}unexpected {found}, {wanted} was expected"))
    }

    /// An identifier, folded as Snowflake stores it.
    ///
    /// # Errors
    /// When something else is next.
    pub(crate) fn identifier(&mut self) -> Result<String, SqlError> {
        match self.next() {
            Some(Token::Word(Word { value, quote_style: None, .. })) => Ok(value.to_uppercase()),
            Some(Token::Word(Word { value, .. })) => Ok(value.clone()),
            _ => {
                self.at = self.at.saturating_sub(1);
                Err(self.unexpected("a name"))
            }
        }
    }

    /// A name of 1 to 3 parts; `DB..T` has an empty middle one.
    ///
    /// # Errors
    /// When something else is next.
    pub(crate) fn object_name(&mut self) -> Result<Vec<String>, SqlError> {
        let mut parts = vec![self.identifier()?];
        while self.accept_token(&Token::Period) {
            if self.peek() == Some(&Token::Period) {
                parts.push(String::new());
            } else {
                parts.push(self.identifier()?);
            }
        }
        if parts.len() > 3 {
            return Err(SqlError::syntax(format!("name {} has too many parts", parts.join("."))));
        }
        Ok(parts)
    }

    /// A string literal.
    ///
    /// # Errors
    /// When something else is next.
    pub(crate) fn string(&mut self) -> Result<String, SqlError> {
        match self.next() {
            Some(Token::SingleQuotedString(text)) => Ok(text.clone()),
            Some(Token::DollarQuotedString(text)) => Ok(text.value.clone()),
            _ => {
                self.at = self.at.saturating_sub(1);
                Err(self.unexpected("a string"))
            }
        }
    }

    /// `= TRUE` or `= FALSE`, the sign optional.
    ///
    /// # Errors
    /// When something else is next.
    pub(crate) fn boolean_option(&mut self) -> Result<bool, SqlError> {
        self.accept_token(&Token::Eq);
        if self.accept("TRUE") {
            Ok(true)
        } else if self.accept("FALSE") {
            Ok(false)
        } else {
            Err(self.unexpected("TRUE or FALSE"))
        }
    }

    /// The value of `KEY = value` as text: a word, number, string, or a list in parentheses.
    ///
    /// # Errors
    /// When no value is next.
    pub(crate) fn option_value(&mut self) -> Result<String, SqlError> {
        self.accept_token(&Token::Eq);
        match self.peek() {
            Some(Token::LParen) => {
                let inner = self.parenthesized()?;
                Ok(inner.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(" "))
            }
            Some(Token::SingleQuotedString(_) | Token::DollarQuotedString(_)) => self.string(),
            Some(Token::Word(_)) => Ok(self.object_name()?.join(".")),
            Some(Token::Number(..)) => Ok(self.next().map(ToString::to_string).unwrap_or_default()),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// The tokens between the parenthesis that is next and its partner; both are taken.
    ///
    /// # Errors
    /// When no parenthesis is next, or it is not closed.
    pub(crate) fn parenthesized(&mut self) -> Result<&'a [TokenWithSpan], SqlError> {
        self.expect_token(&Token::LParen)?;
        let start = self.at;
        let mut depth = 1_usize;
        while let Some(token) = self.next() {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(self.tokens.get(start..self.at - 1).unwrap_or_default());
            }
        }
        Err(self.unexpected(")"))
    }

    /// The tokens up to a comma or to one of `stops`, outside of parentheses.
    pub(crate) fn until(&mut self, stops: &[&str]) -> &'a [TokenWithSpan] {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::Comma if depth == 0 => break,
                _ => {}
            }
            let stop = depth == 0
                && self.at > start
                && self.peek_word().is_some_and(|word| stops.contains(&word.as_str()));
            if stop {
                break;
            }
            self.at += 1;
        }
        self.tokens.get(start..self.at).unwrap_or_default()
    }

    /// All tokens that are left; they are taken.
    pub(crate) fn rest(&mut self) -> &'a [TokenWithSpan] {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        self.at = self.tokens.len();
        rest
    }
}

/// Reads an expression from tokens.
///
/// # Errors
/// When they are not exactly one expression.
pub(crate) fn expression(tokens: &[TokenWithSpan]) -> Result<Expr, SqlError> {
    parser(tokens).parse_expr().map_err(|error| SqlError::syntax(error.to_string()))
}

/// Reads a query from tokens.
///
/// # Errors
/// When they are not exactly one query.
pub(crate) fn query(tokens: &[TokenWithSpan]) -> Result<Box<Query>, SqlError> {
    let mut parser = parser(tokens);
    let query = parser.parse_query().map_err(|error| SqlError::syntax(error.to_string()))?;
    match parser.peek_token().token {
        Token::EOF => Ok(query),
        token => Err(SqlError::syntax(format!("unexpected '{token}' after the query"))),
    }
}

/// Expressions nest as deep as this; deeper ones are refused rather than exhausting the stack.
const RECURSION_MAX: usize = 100;

/// A parser of the Snowflake dialect over tokens.
pub(crate) fn parser(tokens: &[TokenWithSpan]) -> Parser<'static> {
    static DIALECT: SnowflakeDialect = SnowflakeDialect {};
    Parser::new(&DIALECT).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_cut_at_semicolons_outside_of_strings_comments_and_bodies() {
        let text = "SELECT ';' ; -- a; comment\n/* ; */ CREATE TASK ü AS $$ a; b $$;\n ; SELECT 2";
        let texts: Vec<String> = split(text).expect("tokens").into_iter().map(|source| source.text).collect();
        assert_eq!(texts, ["SELECT ';'", "CREATE TASK ü AS $$ a; b $$", "SELECT 2"]);
        assert!(split("SELECT 'open").is_err());
    }

    #[test]
    fn names_are_folded_unless_quoted() {
        let sources = split("db..\"T 1\"").expect("tokens");
        let mut reader = Reader::new(&sources.first().expect("one").tokens);
        assert_eq!(reader.object_name(), Ok(vec!["DB".to_owned(), String::new(), "T 1".to_owned()]));
        assert_eq!(reader.finish(), Ok(()));
    }
}
