//! A graph and the same as a list, as one page that needs nothing else.

use std::fmt::Write as _;

use super::svg::element;
use super::{Graph, escape};

/// A line of the list.
#[derive(Debug)]
pub struct Row {
    /// `up` or `down`.
    pub direction: &'static str,
    /// How many runs are between.
    pub hops: u32,
    /// What it came from.
    pub from: String,
    /// How.
    pub how: String,
    /// What came from it.
    pub to: String,
}

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1c2430;background:#fff}\
header,section{padding:20px 28px}h1{font-size:20px;margin:0 0 4px;overflow-wrap:anywhere}p{margin:0;color:#5b6675}\
.picture{overflow:auto;border-block:1px solid #dfe3e9;padding:0;max-height:78vh}\
table{border-collapse:collapse;font-size:13px}td,th{text-align:left;padding:5px 18px 5px 0;vertical-align:top;\
border-bottom:1px solid #e7eaef;overflow-wrap:anywhere}th{color:#5b6675;font-weight:600}\
.key span{display:inline-block;margin-right:16px}.key i{display:inline-block;width:10px;height:10px;\
border-radius:2px;margin-right:6px}\
@media(prefers-color-scheme:dark){body{color:#e8ecf2;background:#12161c}p,th{color:#a3adbb}\
.picture,td,th{border-color:#2b333f}}";

const KEY: &str = "<p class=\"key\"><span><i style=\"background:#2563eb\"></i>dataset</span>\
<span><i style=\"background:#64748b\"></i>run</span><span><i style=\"background:#059669\"></i>output</span>\
<span><i style=\"background:#0891b2\"></i>file or tree</span>\
<span><i style=\"background:#7c3aed\"></i>host, package, rules</span>\
<span><i style=\"background:#dc2626\"></i>in quarantine</span>\
<span>solid: observed by the kernel; dashed: declared</span></p>";

/// `graph` and `rows` as a page; `notes` are sentences about both.
pub fn html(graph: &Graph, rows: &[Row], notes: &[String]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width\"/>\n<title>{0}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<header><h1>{0}</h1><p>{1} things, {2} steps</p>{KEY}",
        escape(&graph.title),
        graph.nodes.len(),
        graph.edges.len()
    );
    for note in notes {
        let _ = write!(page, "<p>{}</p>", escape(note));
    }
    let _ = write!(page, "</header>\n<div class=\"picture\">{}</div>\n", element(graph));
    page.push_str(
        "<section><table><thead><tr><th>Direction</th><th>Hops</th><th>From</th><th>How</th><th>To</th></tr></thead>\
         <tbody>\n",
    );
    for row in rows {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            row.direction,
            row.hops,
            escape(&row.from),
            escape(&row.how),
            escape(&row.to)
        );
    }
    page.push_str("</tbody></table></section>\n</body>\n</html>\n");
    page
}
