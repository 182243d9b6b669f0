//! One self-contained page of an evaluation: no scripts, nothing from elsewhere.

mod figure;

pub use figure::{det, histogram};

/// A table's head and rows.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Titles of the columns.
    pub head: Vec<String>,
    /// As many cells as titles.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one with these columns.
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

/// A page under construction.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page.
    pub fn new(title: &str) -> Self {
        Self {
            title: escaped(title),
            body: String::new(),
        }
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) {
        self.body += &format!("<h2>{}</h2>\n", escaped(text));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.body += &format!("<p>{}</p>\n", escaped(text));
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        let cells = |tag: &str, cells: &[String]| {
            let cell = |text: &String| format!("<{tag}>{}</{tag}>", escaped(text));
            format!("<tr>{}</tr>\n", cells.iter().map(cell).collect::<String>())
        };
        let rows = table.rows.iter().map(|row| cells("td", row));
        self.body += &format!(
            "<table>\n{}{}</table>\n",
            cells("th", &table.head),
            rows.collect::<String>()
        );
    }

    /// A figure made here, under its caption.
    pub fn figure(&mut self, svg: &str, caption: &str) {
        self.body += &format!(
            "<figure>{svg}<figcaption>{}</figcaption></figure>\n",
            escaped(caption)
        );
    }

    /// The whole page.
    pub fn html(&self) -> String {
        let Self { title, body } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main>\n<h1>{title}</h1>\n{body}</main></body></html>\n"
        )
    }
}

const STYLE: &str = "body{margin:0;background:#fff;color:#1c2330;font:15px/1.5 system-ui,sans-serif}\
main{max-width:880px;margin:0 auto;padding:24px 20px 60px}h1{font-size:25px;margin:0 0 12px}\
h2{font-size:18px;margin:32px 0 8px}table{border-collapse:collapse;margin:10px 0;\
font-variant-numeric:tabular-nums}th,td{padding:4px 14px 4px 0;text-align:left;\
border-bottom:1px solid #dfe3ea}th{color:#5a6474;font-weight:600}figure{margin:18px 0}\
figcaption{color:#5a6474;font-size:13px}svg{width:100%;height:auto}";

/// Text as it stands between tags and in attributes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Histogram, Point};

    #[test]
    fn what_a_page_says_cannot_become_markup() {
        let mut page = Page::new("<script>");
        let mut table = Table::new(&["file"]);
        table.row(["\"><img src=x>".to_owned()]);
        page.table(&table);
        page.text("a & b");
        let html = page.html();
        assert!(!html.contains("<script>") && !html.contains("<img"));
        assert!(html.contains("a &amp; b"));
    }

    #[test]
    fn figures_of_nothing_and_of_one_point_are_figures() {
        let point = Point {
            threshold: 0.5,
            fmr: 0.0,
            fnmr: 0.0,
        };
        for points in [vec![], vec![point]] {
            assert!(det(&[("all", &points)]).starts_with("<svg"));
        }
        let none = Histogram::new(-1.0, 1.0, 4);
        let svg = histogram(&none, &none, &[("1e-4", 0.5)]);
        assert!(!svg.contains("NaN") && svg.contains("1e-4"));
    }
}
