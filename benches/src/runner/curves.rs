//! Curves drawn as SVG, one for each subject, such as its rate over the number of threads: a panel for each workload.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use super::{cell::Sample, round::Series, table::rate_of};
use crate::subjects::OURS;

/// Of a panel, in pixels.
const SIZE: (u32, u32) = (520, 340);
/// Panels beside each other.
const COLUMNS: usize = 2;
/// Room above the highest point.
const ABOVE: f64 = 1.05;
/// Room beside the last point, where the legend is.
const BESIDE: f64 = 1.7;

/// Colours of [`Palette99`] that can be seen on white, ours first.
const COLOURS: [usize; 14] = [0, 4, 3, 1, 5, 16, 12, 7, 14, 18, 19, 10, 6, 20];

/// Numbers of threads up to `cores` that show the shape of a curve: every one up to eight, then half as many again each time.
pub fn threads(cores: usize) -> Vec<usize> {
    let steps = std::iter::successors(Some(1), |&threads| {
        Some(if threads < 8 {
            threads + 1
        } else {
            threads * 3 / 2
        })
    });
    let mut threads: Vec<usize> = steps.take_while(|&threads| threads < cores).collect();
    threads.push(cores);
    threads
}

/// A panel of a picture.
pub struct Panel<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// What the axes are, along and up.
    pub axes: (&'a str, &'a str),
    /// The greatest number along, and how numbers are written there.
    pub along: (f64, &'a dyn Fn(f64) -> String),
    /// The curves' names and points.
    pub curves: Vec<(&'a str, Vec<(f64, f64)>)>,
}

/// Draws all panels into `file`.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(
    file: &Path,
    threads: &[usize],
    panels: &[(&str, Vec<Series<Sample>>)],
) -> Result<(), Box<dyn Error>> {
    let most = threads.iter().copied().max().unwrap_or(1) as f64;
    let whole = |threads| whole(threads, most);
    let panels: Vec<Panel<'_>> = panels
        .iter()
        .map(|(title, series)| Panel {
            title,
            axes: ("threads", "million operations a second"),
            along: (most, &whole),
            curves: series
                .iter()
                .map(|row| (row.subject, points(threads, row)))
                .collect(),
        })
        .collect();
    draw_panels(file, COLUMNS, &panels)
}

/// Draws panels into `file`, so many beside each other.
///
/// # Errors
/// If the file cannot be written.
pub fn draw_panels(
    file: &Path,
    columns: usize,
    panels: &[Panel<'_>],
) -> Result<(), Box<dyn Error>> {
    let rows = panels.len().div_ceil(columns).max(1);
    let size = (SIZE.0 * columns as u32, SIZE.1 * rows as u32);
    let root = SVGBackend::new(file, size).into_drawing_area();
    root.fill(&WHITE)?;
    // Each has the same colour in all panels.
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in panels.iter().flat_map(|panel| &panel.curves) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names.sort_by_key(|name| !name.starts_with(OURS));
    for (area, panel) in root.split_evenly((rows, columns)).iter().zip(panels) {
        draw_panel(area, panel, &names)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    panel: &Panel<'_>,
    names: &[&str],
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let highest = panel
        .curves
        .iter()
        .flat_map(|(_, points)| points.iter().map(|point| point.1))
        .fold(0.0, f64::max);
    let (most, label) = panel.along;
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 14))
        .margin(8)
        .x_label_area_size(32)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..most * BESIDE, 0.0..highest * ABOVE)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .x_label_formatter(&|&at| label(at))
        .x_desc(panel.axes.0)
        .y_desc(panel.axes.1)
        .draw()?;
    for (subject, points) in &panel.curves {
        let nth = names.iter().position(|name| name == subject).unwrap_or(0);
        let width = if subject.starts_with(OURS) { 3 } else { 1 };
        let style = Palette99::pick(COLOURS[nth % COLOURS.len()]).stroke_width(width);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*subject)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        // A subject that runs on one thread only is a point.
        chart.draw_series(
            points
                .iter()
                .map(|&point| Circle::new(point, 2, style.filled())),
        )?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

/// The label of a number of threads that there can be.
fn whole(threads: f64, most: f64) -> String {
    if threads.fract() == 0.0 && threads <= most {
        format!("{threads}")
    } else {
        String::new()
    }
}

/// Threads and millions of operations a second, where the subject ran.
fn points(threads: &[usize], row: &Series<Sample>) -> Vec<(f64, f64)> {
    threads
        .iter()
        .enumerate()
        .map(|(column, &threads)| (threads as f64, rate_of(row, column) / 1e6))
        .filter(|(_, rate)| rate.is_finite())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_at_first_then_fewer_and_the_last() {
        assert_eq!(threads(1), [1]);
        assert_eq!(threads(2), [1, 2]);
        assert_eq!(threads(16), [1, 2, 3, 4, 5, 6, 7, 8, 12, 16]);
    }
}
