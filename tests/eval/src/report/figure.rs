//! Figures as SVG.

use std::fmt::Write;

use super::escaped;
use crate::stats::{Histogram, Point};

const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 46.0;
const COLOURS: [&str; 4] = ["#1f5fbf", "#c4561b", "#2b8a4b", "#7a3fa8"];

/// The plane between the axes: both coordinates from 0 to 1, upwards.
struct Plane {
    svg: String,
}

impl Plane {
    fn new() -> Self {
        Self {
            svg: format!(
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" font-size=\"12\" \
                 font-family=\"system-ui,sans-serif\" fill=\"#5a6474\">"
            ),
        }
    }

    fn x(share: f64) -> f64 {
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(share: f64) -> f64 {
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.svg.write_fmt(element);
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let (x1, y1, x2, y2) = (
            Self::x(from.0),
            Self::y(from.1),
            Self::x(to.0),
            Self::y(to.1),
        );
        self.add(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>"
        ));
    }

    fn tick_x(&mut self, at: f64, label: &str) {
        self.line((at, 0.0), (at, 1.0), "stroke=\"#e8ebf0\"");
        let (x, y) = (Self::x(at), HEIGHT - BOTTOM + 17.0);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>"
        ));
    }

    fn tick_y(&mut self, at: f64, label: &str) {
        self.line((0.0, at), (1.0, at), "stroke=\"#e8ebf0\"");
        let (x, y) = (LEFT - 8.0, Self::y(at) + 4.0);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>"
        ));
    }

    fn titles(&mut self, across: &str, up: &str) {
        let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{across}</text>"
        ));
        let y = (TOP + HEIGHT - BOTTOM) / 2.0;
        self.add(format_args!(
            "<text transform=\"translate(13 {y:.1}) rotate(-90)\" text-anchor=\"middle\">{up}</text>"
        ));
    }

    fn path(&mut self, points: &[(f64, f64)], style: &str) {
        if points.is_empty() {
            return;
        }
        self.add(format_args!("<polyline {style} points=\""));
        for (x, y) in points {
            self.add(format_args!("{:.1},{:.1} ", Self::x(*x), Self::y(*y)));
        }
        self.add(format_args!("\"/>"));
    }

    fn legend(&mut self, x: f64, names: &[(&str, &str)]) {
        for (at, (name, colour)) in names.iter().enumerate() {
            let y = TOP + 18.0 + 18.0 * at as f64;
            self.add(format_args!(
                "<rect x=\"{x}\" y=\"{:.1}\" width=\"12\" height=\"3\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                y - 5.0,
                x + 18.0,
                escaped(name)
            ));
        }
    }

    fn end(mut self) -> String {
        self.svg += "</svg>";
        self.svg
    }
}

/// Decades, from the lowest above zero that is seen to one.
struct Decades {
    low: i32,
}

impl Decades {
    fn of(rates: impl Iterator<Item = f64>) -> Self {
        let least = rates.filter(|rate| *rate > 0.0).fold(0.1, f64::min);
        Self {
            low: (least.log10().floor() as i32).max(-8),
        }
    }

    fn place(&self, rate: f64) -> f64 {
        let floor = 10f64.powi(self.low);
        1.0 - rate.max(floor).log10() / f64::from(self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let tick = |power: i32| {
            let label = match power {
                0 => "1".to_owned(),
                _ => format!("1e{power}"),
            };
            (self.place(10f64.powi(power)), label)
        };
        (self.low..=0).map(tick)
    }
}

/// Detection error trade-off, both rates by decades; one curve for each name.
pub fn det(curves: &[(&str, &[Point])]) -> String {
    let all = || curves.iter().flat_map(|(_, points)| points.iter());
    let (fmr, fnmr) = (
        Decades::of(all().map(|point| point.fmr)),
        Decades::of(all().map(|point| point.fnmr)),
    );
    let mut plane = Plane::new();
    fmr.ticks().for_each(|(at, label)| plane.tick_x(at, &label));
    fnmr.ticks()
        .for_each(|(at, label)| plane.tick_y(at, &label));
    plane.titles("false match rate", "false non-match rate");
    let mut names = Vec::new();
    for ((name, points), colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let seen = points.iter().filter(|point| point.fmr > 0.0);
        let path: Vec<_> = seen
            .map(|point| (fmr.place(point.fmr), fnmr.place(point.fnmr)))
            .collect();
        let style = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"");
        plane.path(&path, &style);
        names.push((*name, *colour));
    }
    plane.legend(WIDTH - RIGHT - 150.0, &names);
    plane.end()
}

/// Genuine and impostor scores, each as a share of its own highest bin, and named
/// thresholds.
pub fn histogram(genuine: &Histogram, impostor: &Histogram, marks: &[(&str, f32)]) -> String {
    let mut plane = Plane::new();
    let (low, high) = (f64::from(impostor.low), f64::from(impostor.high));
    let across = |score: f64| (score - low) / (high - low);
    for step in 0..=8 {
        let score = low + (high - low) * f64::from(step) / 8.0;
        plane.tick_x(across(score), &format!("{score:.2}"));
    }
    plane.titles("score", "share of the highest bin");
    let mut names = Vec::new();
    for ((name, counts), colour) in [("impostor", impostor), ("genuine", genuine)]
        .iter()
        .zip(COLOURS.iter().rev())
    {
        let most = counts.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let mut outline = vec![(0.0, 0.0)];
        for (bin, count) in counts.counts.iter().enumerate() {
            let height = *count as f64 / most;
            let edges = [bin, bin + 1].map(|bin| across(f64::from(counts.edge(bin))));
            outline.extend(edges.map(|x| (x, height)));
        }
        outline.push((1.0, 0.0));
        let style = format!("fill=\"{colour}\" fill-opacity=\".28\" stroke=\"{colour}\"");
        plane.path(&outline, &style);
        names.push((*name, *colour));
    }
    for (at, (name, score)) in marks.iter().enumerate() {
        let x = across(f64::from(*score));
        plane.line(
            (x, 0.0),
            (x, 1.0),
            "stroke=\"#1c2330\" stroke-dasharray=\"3 4\"",
        );
        let y = TOP + 12.0 + 14.0 * at as f64;
        plane.add(format_args!(
            "<text x=\"{:.1}\" y=\"{y:.1}\" fill=\"#1c2330\">{}</text>",
            Plane::x(x) + 4.0,
            escaped(name)
        ));
    }
    plane.legend(LEFT + 16.0, &names);
    plane.end()
}
