//! Indented text. `open` and `close` write the braces, so descriptions stay free of `{{`.

pub struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    pub fn new() -> Self {
        Writer { out: String::new(), depth: 0 }
    }

    pub fn line(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        if !text.is_empty() {
            self.out.extend(std::iter::repeat_n("    ", self.depth));
            self.out.push_str(text);
        }
        self.out.push('\n');
    }

    pub fn open(&mut self, head: impl AsRef<str>) {
        self.line(format!("{} {{", head.as_ref()));
        self.depth += 1;
    }

    pub fn close(&mut self) {
        self.close_with("");
    }

    /// Closes a block that goes on: `} else {` is `close_open("else")`.
    pub fn close_open(&mut self, head: impl AsRef<str>) {
        self.depth -= 1;
        self.line(format!("}} {} {{", head.as_ref()));
        self.depth += 1;
    }

    pub fn open_call(&mut self, head: impl AsRef<str>) {
        self.line(format!("{}(", head.as_ref()));
        self.depth += 1;
    }

    pub fn close_call(&mut self) {
        self.depth -= 1;
        self.line(");");
    }

    pub fn close_with(&mut self, tail: &str) {
        self.depth -= 1;
        self.line(format!("}}{tail}"));
    }

    pub fn finish(self) -> String {
        assert_eq!(self.depth, 0, "unbalanced open and close");
        self.out
    }
}
