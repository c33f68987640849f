"use strict";

// A report of trellis. The page has the data as JSON, whose fields html.go describes, and this
// script draws them with uPlot. Time is in frames throughout, [from, to) like spans; only what is
// written has seconds.
(() => {
	const $ = id => document.getElementById(id);
	const report = JSON.parse($("data").textContent);

	// Sizes in CSS pixels.
	const TEXT = 16, BAR = 8, LABELS = 16, GAP = 5; // from the top: two rows of words, their bars, labels
	const HEAD = 2 * TEXT + BAR + LABELS + GAP;
	const LANE = { least: 13, most: 24, likely: 16 };
	const TIME = 30; // the axis
	const ROW = 27; // of the table
	const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
	const SHORTEST = 8; // frames that can be zoomed to
	const RIVAL = 0.1; // probability from which a class is drawn that no label names

	// ---- The data ----

	// Numbers that JSON does not have are strings.
	const toNumber = v => v === "inf" ? Infinity : v === "-inf" ? -Infinity : v === "nan" ? NaN : v;

	const numbers = list => list && Float64Array.from(list, toNumber);

	// openItems returns words or labels with a way to find those that are in sight.
	function openItems(items) {
		if (!items) return null;
		const { start, end } = items;
		return {
			...items, count: start.length, score: numbers(items.score), confidence: numbers(items.confidence),
			// first returns the first item that ends behind a frame. Items are in the order of time.
			first(frame) {
				let low = 0, high = start.length;
				while (low < high) {
					const middle = (low + high) >> 1;
					if (end[middle] > frame) high = middle; else low = middle + 1;
				}
				return low;
			},
		};
	}

	// openSequence decodes the emissions of a sequence: of frame t, entries offsets[t] to
	// offsets[t+1] have the index of a class and its probability in units of report.resolution.
	function openSequence(n) {
		const { frames, recorded, emissions, readings } = report.sequences[n];
		const text = atob(emissions ?? "");
		let at = 0;
		const varint = () => {
			let v = 0;
			for (let shift = 0; ; shift += 7) {
				const byte = text.charCodeAt(at++);
				v |= (byte & 127) << shift;
				if (byte < 128) return v;
			}
		};
		const classes = [], indices = new Map();
		const indexOf = c => {
			let i = indices.get(c);
			if (i === undefined) {
				indices.set(c, i = classes.length);
				classes.push(c);
			}
			return i;
		};
		const offsets = new Uint32Array(recorded + 1);
		const index = new Int32Array(text.length >> 1), value = new Uint16Array(text.length >> 1);
		let entries = 0;
		for (let t = 0; t < recorded; t++) {
			for (let left = varint(); left > 0; left--) {
				index[entries] = indexOf(varint());
				value[entries++] = varint();
			}
			offsets[t + 1] = entries;
		}
		const blank = indexOf(report.blank);
		const opened = readings.map(r => {
			const labels = openItems(r.labels);
			if (labels) labels.index = labels.classes.map(indexOf);
			return { ...r, score: toNumber(r.score), labels, words: openItems(r.words) };
		});
		return { n, frames, recorded, offsets, index, value, classes, blank, readings: opened };
	}

	const nameOf = c => visible(report.names[c] ?? String(c));

	// itemText returns the text of an item, a word or a label.
	const itemText = (items, i) => items.texts ? visible(items.texts[i]) : nameOf(items.classes[i]);

	// visible shows control characters and those that turn the direction of what follows.
	function visible(text) {
		return text.replace(/[\u0000-\u001f\u007f\u0080-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, c => {
			const code = c.charCodeAt(0);
			return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "\u2421" : "\ufffd";
		});
	}

	// ---- Numbers as text ----

	// Sequences from two minutes on have times like 1:02:03.4 instead of seconds.
	const isLong = () => sequence.frames * report.step >= 120;
	const unit = () => report.step && !isLong() ? " s" : "";

	// time writes when a frame begins: its number, or seconds with a number of digits.
	function time(t, digits = 3) {
		if (!report.step) return String(t);
		const s = t * report.step;
		if (!isLong()) return s.toFixed(digits);
		const parts = Math.round(s * 10 ** digits), whole = Math.floor(parts / 10 ** digits);
		const two = (v, places = 2) => String(v).padStart(places, "0");
		const fraction = digits ? "." + two(parts % 10 ** digits, digits) : "";
		const minutes = Math.floor(whole / 60);
		const head = minutes < 60 ? minutes : Math.floor(minutes / 60) + ":" + two(minutes % 60);
		return head + ":" + two(whole % 60) + fraction;
	}

	const short = v => Number.isFinite(v) ? v.toFixed(3).replace(/^-(0\.000)$/, "$1") : String(v).replace("Infinity", "∞");

	// probability writes one of the units that the emissions are in.
	const probability = v => v ? (v * report.resolution).toFixed(4) : "below " + report.resolution / 2;

	// ---- What is shown ----

	let sequence, reading, chart, overview, lanes = [], hidden = 0, plotHeight, nameWidth;
	const view = { from: 0, to: 1 };
	const table = { order: [], key: "time", down: false };
	let colours;

	function readColours() {
		const style = getComputedStyle(document.documentElement);
		colours = {};
		for (const name of ["paper", "strong", "faint", "heat", "trail"]) colours[name] = style.getPropertyValue("--" + name).trim();
	}

	const lastFrame = () => Math.max(sequence.frames, 1);

	// clamp returns the range of frames that may be shown instead of a wanted one.
	function clamp(from, to) {
		const all = lastFrame(), width = Math.min(Math.max(to - from, Math.min(SHORTEST, all)), all);
		from = Math.min(Math.max((from + to - width) / 2, 0), all - width);
		return [from, from + width];
	}

	function show(from, to) {
		chart.setScale("x", { min: from, max: to });
	}

	// zoom changes the width of the view by a factor; the frame at stays where it is.
	function zoom(factor, at = (view.from + view.to) / 2) {
		show(at - (at - view.from) * factor, at + (view.to - at) * factor);
	}

	// move moves the view by a part of its width.
	function move(part) {
		const by = part * (view.to - view.from), [from, to] = [view.from + by, view.to + by];
		if (from < 0) show(0, to - from);
		else if (to > lastFrame()) show(from - to + lastFrame(), lastFrame());
		else show(from, to);
	}

	// showItem zooms to a word or label, with something on both sides.
	function showItem(items, i) {
		const margin = Math.max(items.end[i] - items.start[i], 15);
		show(items.start[i] - margin, items.end[i] + margin);
		$("emissions").scrollIntoView({ block: "nearest" });
	}

	// ---- Which classes are drawn ----

	// chooseLanes finds the classes that labels name or that are probable somewhere in sight, in the
	// order in which they appear, and the blank last. If there are more than have room, those with
	// the least probability in sum are hidden.
	function chooseLanes() {
		const { classes, offsets, index, value, blank } = sequence;
		const unseen = 0x7fffffff, seen = new Int32Array(classes.length).fill(unseen), mass = new Float64Array(classes.length);
		const { labels } = reading, from = Math.floor(view.from), to = Math.ceil(view.to);
		if (labels) {
			for (let i = labels.first(from); i < labels.count && labels.start[i] < to; i++) {
				const c = labels.index[i];
				if (labels.classes[i] >= 0) seen[c] = Math.min(seen[c], labels.start[i]);
			}
			if (!Number.isFinite(reading.score)) { // they have no place: they are all of interest
				labels.index.forEach((c, i) => { if (labels.classes[i] >= 0) seen[c] = Math.min(seen[c], i); });
			}
		}
		const rival = RIVAL / report.resolution;
		for (let t = from; t < Math.min(to, sequence.recorded); t++) {
			for (let e = offsets[t]; e < offsets[t + 1]; e++) {
				mass[index[e]] += value[e];
				if (value[e] >= rival && seen[index[e]] > t) seen[index[e]] = t;
			}
		}
		seen[blank] = unseen;
		let chosen = [];
		seen.forEach((t, c) => { if (t < unseen) chosen.push(c); });
		const room = Math.floor((plotHeight - HEAD) / LANE.least) - 1;
		hidden = Math.max(chosen.length - room, 0);
		if (hidden) chosen = chosen.sort((a, b) => mass[b] - mass[a]).slice(0, room);
		lanes = chosen.sort((a, b) => seen[a] - seen[b] || a - b);
		lanes.push(blank);
	}

	const laneHeight = () => Math.min(LANE.most, (plotHeight - HEAD) / lanes.length);
	const laneTop = i => HEAD + i * laneHeight();

	// ---- Drawing ----

	// paint draws everything in the plot. Its units are CSS pixels from the upper left corner.
	function paint(u) {
		const { ctx, bbox } = u, { pxRatio } = uPlot, width = bbox.width / pxRatio;
		const x = t => (t - view.from) / (view.to - view.from) * width;
		ctx.save();
		ctx.beginPath();
		ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
		ctx.clip();
		ctx.translate(bbox.left, bbox.top);
		ctx.scale(pxRatio, pxRatio);
		ctx.font = FONT;
		ctx.textBaseline = "alphabetic";
		paintLanes(ctx, width);
		paintHeat(ctx, x, bbox.width);
		if (reading.labels) {
			paintPath(ctx, x, width);
			paintLabels(ctx, x, width);
		}
		if (reading.words) paintWords(ctx, x, width);
		ctx.restore();
	}

	function paintLanes(ctx, width) {
		ctx.fillStyle = colours.faint;
		ctx.globalAlpha = 0.25;
		for (let i = 0; i <= lanes.length; i++) ctx.fillRect(0, laneTop(i) - 0.5, width, 0.5);
		ctx.globalAlpha = 1;
	}

	// paintHeat draws the probabilities: a column is a frame, or where frames are narrower than
	// pixels the largest probability of the frames of a pixel.
	function paintHeat(ctx, x, pixels) {
		const { offsets, index, value, classes } = sequence;
		const first = Math.floor(view.from), last = Math.min(Math.ceil(view.to), sequence.recorded);
		if (last <= first) return;
		const columns = Math.min(last - first, Math.round(pixels));
		const laneOf = new Int32Array(classes.length).fill(-1);
		lanes.forEach((c, i) => laneOf[c] = i);
		const largest = new Uint16Array(lanes.length * columns);
		for (let t = first; t < last; t++) {
			const column = Math.floor((t - first) * columns / (last - first));
			for (let e = offsets[t]; e < offsets[t + 1]; e++) {
				const lane = laneOf[index[e]], at = lane * columns + column;
				if (lane >= 0 && value[e] > largest[at]) largest[at] = value[e];
			}
		}
		const image = new ImageData(columns, lanes.length), rgb = parseInt(colours.heat.slice(1), 16);
		for (let i = 0; i < largest.length; i++) {
			image.data[4 * i] = rgb >> 16;
			image.data[4 * i + 1] = rgb >> 8 & 255;
			image.data[4 * i + 2] = rgb & 255;
			image.data[4 * i + 3] = 255 * Math.sqrt(largest[i] * report.resolution); // small ones are seen, too
		}
		const source = document.createElement("canvas");
		source.width = columns;
		source.height = lanes.length;
		source.getContext("2d").putImageData(image, 0, 0);
		ctx.imageSmoothingEnabled = false;
		const left = x(first), width = x(last) - left;
		for (let i = 0; i < lanes.length; i++) {
			ctx.drawImage(source, 0, i, columns, 1, left, laneTop(i) + 1, width, laneHeight() - 2);
		}
	}

	// paintPath draws an edge around the frames of each label, and a line where the path takes the
	// blank, unless frames are so narrow that there would be nothing else to see.
	function paintPath(ctx, x, width) {
		if (!Number.isFinite(reading.score) || x(1) - x(0) < 0.7) return;
		const { labels } = reading, laneOf = new Map(lanes.map((c, i) => [c, i]));
		const blankTop = laneTop(lanes.length - 1) + laneHeight() / 2 - 0.75;
		ctx.fillStyle = ctx.strokeStyle = colours.trail;
		ctx.lineWidth = 1.5;
		const blanks = (from, to) => { if (to > from) ctx.fillRect(x(from), blankTop, x(to) - x(from), 1.5); };
		const begin = labels.first(view.from);
		let end = begin > 0 ? labels.end[begin - 1] : 0, i = begin;
		for (; i < labels.count && labels.start[i] < view.to; i++) {
			blanks(end, labels.start[i]);
			end = labels.end[i];
			const lane = laneOf.get(labels.index[i]);
			if (lane !== undefined) ctx.strokeRect(x(labels.start[i]) - 0.75, laneTop(lane) + 0.75, x(end) - x(labels.start[i]) + 1.5, laneHeight() - 1.5);
		}
		blanks(end, i < labels.count ? labels.start[i] : sequence.frames);
	}

	// tooMany reports whether there are so many items in sight that texts of a few would mean nothing.
	const tooMany = (items, width) => items.first(view.to) - items.first(view.from) > width / 9;

	// place writes texts over the middle of their spans, each in the first row that has room, if any.
	function place(ctx, items, x, width, rows, text) {
		if (tooMany(items, width)) return;
		ctx.textAlign = "center";
		const free = rows.map(() => -Infinity);
		for (let i = items.first(view.from); i < items.count && items.start[i] < view.to; i++) {
			const left = Math.max(x(items.start[i]), 0), middle = (left + Math.min(x(items.end[i]), width)) / 2;
			if (free.every(f => middle - 3 < f)) continue; // not worth measuring
			const written = text(i), half = ctx.measureText(written).width / 2;
			const row = free.findIndex(f => middle - half >= f);
			if (!written || row < 0) continue;
			ctx.fillText(written, middle, rows[row]);
			free[row] = middle + half + 4;
		}
	}

	function paintLabels(ctx, x, width) {
		const { labels } = reading;
		ctx.fillStyle = colours.trail;
		place(ctx, labels, x, width, [2 * TEXT + BAR + LABELS - 4], i => {
			const name = nameOf(labels.classes[i]);
			return name === "space" ? "" : name;
		});
	}

	// paintWords draws a bar for each word, the more confident the stronger, and the words above.
	function paintWords(ctx, x, width) {
		const { words } = reading;
		ctx.fillStyle = colours.trail;
		for (let i = words.first(view.from); i < words.count && words.start[i] < view.to; i++) {
			ctx.globalAlpha = words.confidence ? 0.2 + 0.8 * Math.min(Math.max(words.confidence[i], 0), 1) : 1;
			ctx.fillRect(x(words.start[i]), 2 * TEXT, Math.max(x(words.end[i]) - x(words.start[i]) - 1, 1), BAR - 1);
		}
		ctx.globalAlpha = 1;
		ctx.fillStyle = colours.strong;
		place(ctx, words, x, width, [2 * TEXT - 4, TEXT - 4], i => visible(words.texts[i]));
	}

	// ---- The charts ----

	// ticks returns frames for the marks of an axis, and writes the times there.
	const steps = [];
	for (let power = 1e-4; power < 1e9; power *= 10) steps.push(power, 2 * power, 5 * power);
	const clockSteps = [...steps.filter(s => s < 7), 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, ...steps.filter(s => s > 1).map(s => s * 3600)];
	function ticks(u, axis, min, max) {
		const step = report.step || 1, least = (max - min) * step * 90 / Math.max(u.bbox.width / uPlot.pxRatio, 1);
		const by = (report.step ? clockSteps : steps.filter(s => s > 0.5)).find(s => s >= least);
		const marks = [];
		for (let i = Math.ceil(min * step / by - 1e-9); i * by <= max * step * (1 + 1e-12); i++) marks.push(i * by / step);
		u.tickDigits = Math.max(0, Math.ceil(-Math.log10(by) - 1e-9));
		return marks;
	}
	const tickTexts = (u, marks) => marks.map(t => report.step ? time(t, u.tickDigits) : String(Math.round(t)));

	const timeAxis = side => ({
		side, size: TIME, font: FONT, splits: ticks, values: tickTexts, gap: 3,
		stroke: () => colours.faint, grid: { show: false }, ticks: { size: 4, width: 1, stroke: () => colours.faint },
	});

	const overviewName = report.confidence ? "confidence" : "exp score";

	// openCharts draws a sequence anew.
	function openCharts() {
		if (chart) chart.destroy();
		if (overview) overview.destroy();
		const measure = document.createElement("canvas").getContext("2d");
		measure.font = FONT;
		const names = [overviewName, ...sequence.classes.slice(0, 2000).map(nameOf)];
		nameWidth = 14 + Math.ceil(Math.max(...names.map(name => measure.measureText(name).width)));
		plotHeight = Infinity;
		[view.from, view.to] = [0, lastFrame()];
		chooseLanes();
		plotHeight = HEAD + LANE.likely * Math.min(Math.max(lanes.length, 14), 36);
		const width = $("chart").clientWidth;
		chart = new uPlot({
			width, height: plotHeight + TIME, legend: { show: false }, padding: [0, 20, 0, 0],
			scales: { x: { time: false, range: (u, min, max) => clamp(min, max) }, y: { range: [0, plotHeight], dir: -1 } },
			axes: [timeAxis(0), {
				side: 3, size: nameWidth, font: FONT, gap: 2, stroke: () => colours.strong, grid: { show: false }, ticks: { show: false },
				splits: () => lanes.map((c, i) => laneTop(i) + laneHeight() / 2), values: () => lanes.map(c => nameOf(sequence.classes[c])),
			}],
			series: [{}, { show: true, paths: () => null, points: { show: false } }],
			cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: 4 } },
			hooks: {
				setScale: [(u, key) => { if (key === "x") viewChanged(u); }],
				draw: [paint],
				setCursor: [u => showTip(u)],
			},
		}, [[0, lastFrame()], [null, null]], $("chart"));
		chart.over.addEventListener("wheel", onWheel, { passive: false });
		openOverview(width);
		viewChanged(chart);
	}

	function viewChanged(u) {
		[view.from, view.to] = [u.scales.x.min, u.scales.x.max];
		chooseLanes();
		if (overview) markView();
		const whole = view.to - view.from >= lastFrame();
		$("all").disabled = $("out").disabled = $("left").disabled = $("right").disabled = whole;
		$("summary").textContent = whole
			? `${sequence.frames} frames` + (report.step ? `, ${time(sequence.frames, 2)}${unit()}` : "") + `, score ${short(reading.score)}`
			: report.step ? `${time(view.from)} to ${time(view.to)}${unit()}` : `frames ${Math.round(view.from)} to ${Math.round(view.to)}`;
		const notes = [];
		if (!Number.isFinite(reading.score)) notes.push("No path fits: the labels have no place.");
		if (hidden) notes.push(`${hidden} more classes are probable here: zoom in to see them.`);
		if (!reading.labels) notes.push("When this reading was said is not in the page.");
		else if (Number.isFinite(reading.score) && (view.to - view.from) * 0.7 > u.width - nameWidth) notes.push("The path and the texts show when you zoom in.");
		if (sequence.recorded < sequence.frames) notes.push(`The page has emissions of the first ${sequence.recorded} frames only.`);
		$("notes").textContent = notes.join(" ");
		fillTable();
	}

	// openOverview draws how confident words are over all of the sequence, to find places by.
	function openOverview(width) {
		const items = tableItems(), xs = [0], ys = [null];
		let end = 0;
		for (let i = 0; items && i < items.count; i++) {
			if (items.end[i] <= items.start[i]) continue;
			const v = items.confidence ? items.confidence[i] : Math.exp(items.score[i]);
			if (items.start[i] > end) { xs.push(items.start[i]); ys.push(v); } else ys[ys.length - 1] = v;
			end = items.end[i];
			xs.push(end - 1e-3, end); // the second is where the next word begins, or nothing
			ys.push(v, null);
		}
		if (end < lastFrame()) { xs.push(lastFrame()); ys.push(null); }
		overview = new uPlot({
			width, height: 44, legend: { show: false }, padding: [4, 20, 2, 0],
			scales: { x: { time: false, range: () => [0, lastFrame()] }, y: { range: [0, 1.02] } },
			axes: [{ show: false }, {
				side: 3, size: nameWidth, font: FONT, gap: 2, stroke: () => colours.faint, grid: { show: false }, ticks: { show: false },
				splits: () => [0.5], values: () => [overviewName],
			}],
			series: [{}, {
				stroke: () => colours.trail, fill: () => colours.trail + "40", width: 1, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false },
			}],
			cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: 2 } },
			hooks: {
				ready: [u => { overview = u; markView(); }],
				setSelect: [u => {
					const { left, width } = u.select;
					if (width > 2) show(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
					else markView();
				}],
			},
		}, [xs, ys], $("overview"));
		overview.over.addEventListener("click", event => {
			const at = overview.posToVal(event.offsetX, "x"), half = (view.to - view.from) / 2;
			if (half * 2 >= lastFrame()) return;
			const from = Math.min(Math.max(at - half, 0), lastFrame() - 2 * half);
			show(from, from + 2 * half);
		});
		overview.over.addEventListener("dblclick", () => show(0, lastFrame()));
	}

	// markView shows in the overview what the chart has.
	function markView() {
		const left = overview.valToPos(view.from, "x"), right = overview.valToPos(view.to, "x");
		overview.setSelect({ left, top: 0, width: right - left, height: overview.bbox.height / uPlot.pxRatio }, false);
	}

	// ---- Under the pointer ----

	function line(parent, kind, ...parts) {
		const div = document.createElement("div");
		div.className = kind;
		for (const part of parts) div.append(part);
		parent.append(div);
	}

	function strong(text) {
		const b = document.createElement("b");
		b.append(isolated(text));
		return b;
	}

	// isolated keeps the direction of a text from turning what is around it.
	function isolated(text) {
		const bdi = document.createElement("bdi");
		bdi.textContent = text;
		return bdi;
	}

	// entriesOf returns the classes of a frame and their probabilities, the most probable first.
	function entriesOf(t) {
		const { offsets, index, value } = sequence, list = [];
		for (let e = offsets[t]; e < offsets[t + 1]; e++) list.push([index[e], value[e]]);
		return list.sort((a, b) => b[1] - a[1]);
	}

	// valueText says what the probability of a class is in frame t.
	function valueText(c, t) {
		if (t >= sequence.recorded) return "not in the page";
		const list = entriesOf(t), found = list.find(e => e[0] === c);
		if (found) return probability(found[1]);
		const least = list[report.most - 1]?.[1] ?? 0; // below likely if only the path's class makes them so many
		return least * report.resolution < report.likely ? `below ${report.likely}` : `at most ${probability(least)}`;
	}

	// largestText says which frame of several has the largest probability of a class.
	function largestText(c, from, to) {
		const { offsets, index, value } = sequence;
		let best = 0, at = -1;
		for (let t = from; t < Math.min(to, sequence.recorded); t++) {
			for (let e = offsets[t]; e < offsets[t + 1]; e++) if (index[e] === c && value[e] > best) { best = value[e]; at = t; }
		}
		return at < 0 ? `below ${report.likely}` : `up to ${probability(best)}, at ${time(at)}${unit()}`;
	}

	const scoresText = (items, i) => `score ${short(items.score[i])}` + (items.confidence ? `, confidence ${short(items.confidence[i])}` : "");

	// under describes the word or label that a frame belongs to.
	function under(tip, kind, items, t) {
		const i = items ? items.first(t) : 0;
		if (!items || i >= items.count || items.start[i] > t) return;
		line(tip, "faint", kind + " ", strong(itemText(items, i)), ` ${time(items.start[i])} to ${time(items.end[i])}${unit()}, ${scoresText(items, i)}`);
	}

	function showTip(u) {
		const tip = $("tip"), { left, top } = u.cursor, width = u.bbox.width / uPlot.pxRatio;
		tip.hidden = !(left >= 0 && top >= 0);
		if (tip.hidden) return;
		const perPixel = (view.to - view.from) / width;
		const t = Math.min(Math.max(Math.floor(view.from + left * perPixel), 0), lastFrame() - 1);
		tip.textContent = "";
		line(tip, "when", `frame ${t}` + (report.step ? `, ${time(t)}${unit()}` : ""));
		const lane = Math.floor((top - HEAD) / laneHeight());
		const c = top >= HEAD ? lanes[lane] : undefined;
		if (c !== undefined) {
			const several = perPixel > 1.5;
			line(tip, "value", strong(nameOf(sequence.classes[c])), " ", several ? largestText(c, t, Math.ceil(t + perPixel)) : valueText(c, t));
		}
		if (t < sequence.recorded) {
			const parts = [];
			for (const [index, v] of entriesOf(t).slice(0, 3)) parts.push(parts.length ? ", " : "largest: ", isolated(nameOf(sequence.classes[index])), ` ${probability(v)}`);
			if (parts.length) line(tip, "faint", ...parts);
		}
		under(tip, "label", reading.labels, t);
		under(tip, "word", reading.words, t);
		const at = u.over.getBoundingClientRect(), box = tip.getBoundingClientRect();
		const right = at.left + left + 16, below = at.top + top + 16;
		tip.style.left = Math.max(4, right + box.width > innerWidth - 4 ? at.left + left - 12 - box.width : right) + "px";
		tip.style.top = Math.max(4, below + box.height > innerHeight - 4 ? at.top + top - 12 - box.height : below) + "px";
	}

	function onWheel(event) {
		const across = event.deltaX || (event.shiftKey ? event.deltaY : 0);
		if (event.ctrlKey || event.metaKey) {
			event.preventDefault();
			zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), chart.posToVal(event.offsetX, "x"));
		} else if (across) {
			event.preventDefault();
			move(across / 800);
		}
	}

	// ---- The table ----

	const tableItems = () => report.unit === "word" ? reading.words : reading.labels;

	const columns = [
		{ key: "text", title: report.unit },
		{ key: "time", title: "start", hint: report.step ? "In seconds, or minutes and seconds" : "The first frame" },
		{ key: "end", title: "end", hint: report.step ? "In seconds, or minutes and seconds" : "The frame behind the last one" },
		{ key: "score", title: "score", hint: "Mean ln p of the path" },
		{ key: "confidence", title: "confidence", hint: "How probable it is that this is in these frames" },
	].filter(c => c.key !== "confidence" || report.confidence);

	// sortTable puts the rows in order; fillTable shows them.
	function sortTable() {
		const items = tableItems(), { key, down } = table;
		table.order = Array.from({ length: items ? items.count : 0 }, (_, i) => i);
		const compare = {
			text: (a, b) => itemText(items, a).localeCompare(itemText(items, b)),
			time: (a, b) => a - b,
			end: (a, b) => items.end[a] - items.end[b],
			score: (a, b) => items.score[a] - items.score[b],
			confidence: (a, b) => items.confidence[a] - items.confidence[b],
		}[key];
		table.order.sort((a, b) => (down ? compare(b, a) : compare(a, b)) || a - b);
		for (const th of $("columns").children) {
			th.setAttribute("aria-sort", th.dataset.key !== key ? "none" : down ? "descending" : "ascending");
		}
	}

	// fillTable makes the rows that are in sight: there may be many thousands.
	function fillTable() {
		const items = tableItems(), rows = $("rows"), box = document.querySelector(".scroller");
		const first = Math.max(Math.floor(box.scrollTop / ROW) - 8, 0);
		const last = Math.min(first + Math.ceil(box.clientHeight / ROW) + 16, table.order.length);
		const focused = document.activeElement?.dataset?.item;
		rows.textContent = "";
		const space = count => {
			const tr = rows.insertRow();
			tr.className = "space";
			const td = tr.insertCell();
			td.colSpan = columns.length;
			td.style.height = count * ROW + "px";
		};
		if (first > 0) space(first);
		for (let k = first; k < last; k++) {
			const i = table.order[k], tr = rows.insertRow();
			tr.tabIndex = 0;
			tr.dataset.item = i;
			const inSight = items.start[i] < view.to && items.end[i] > view.from;
			if (inSight && view.to - view.from < lastFrame()) tr.className = "seen";
			for (const { key } of columns) {
				const td = tr.insertCell();
				td.className = key === "text" ? "text" : "number";
				if (key === "text") td.append(isolated(itemText(items, i)));
				else td.textContent = key === "time" ? time(items.start[i]) : key === "end" ? time(items.end[i]) : short(items[key][i]);
				if (key === "text") td.title = itemText(items, i);
				if (key === "confidence") {
					td.classList.add("confidence");
					td.style.setProperty("--part", 100 * Math.min(Math.max(items.confidence[i], 0), 1) + "%");
				}
			}
			if (focused === String(i)) tr.focus({ preventScroll: true });
		}
		if (last < table.order.length) space(table.order.length - last);
	}

	function openTable() {
		for (const { key, title, hint } of columns) {
			const th = document.createElement("th");
			th.textContent = title;
			th.dataset.key = key;
			if (hint) th.title = hint;
			th.scope = "col";
			if (key !== "text") th.className = "number";
			th.addEventListener("click", () => {
				table.down = table.key === key && !table.down;
				table.key = key;
				sortTable();
				fillTable();
			});
			$("columns").append(th);
		}
		const go = event => {
			const tr = event.target.closest("tr[data-item]");
			if (tr) showItem(tableItems(), Number(tr.dataset.item));
		};
		$("rows").addEventListener("click", go);
		$("rows").addEventListener("keydown", event => { if (event.key === "Enter") go(event); });
		document.querySelector(".scroller").addEventListener("scroll", fillTable, { passive: true });
	}

	// ---- Readings and sequences ----

	// difference returns a text, or a part of it, with a mark where it is not as another one.
	function difference(text, other) {
		const a = Array.from(visible(text)), b = Array.from(visible(other)), context = 40;
		let head = 0, tail = 0;
		while (head < Math.min(a.length, b.length) && a[head] === b[head]) head++;
		while (tail < Math.min(a.length, b.length) - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
		const long = text !== other && a.length > 300, bdi = document.createElement("bdi");
		const before = long && head > context ? "…" + a.slice(head - context, head).join("") : a.slice(0, head).join("");
		const after = long && tail > context ? a.slice(a.length - tail, a.length - tail + context).join("") + "…" : a.slice(a.length - tail).join("");
		bdi.append(before);
		if (text !== other) {
			const mark = document.createElement("mark");
			mark.textContent = a.slice(head, a.length - tail).join("");
			bdi.append(mark);
		}
		bdi.append(after);
		return bdi;
	}

	function openReadings() {
		const { readings } = sequence, body = $("texts");
		$("readings").hidden = !readings[0].hypothesis;
		body.textContent = "";
		if ($("readings").hidden) return;
		$("readings").classList.toggle("plain", readings.every(r => r.hypothesis.lm === 0 && r.hypothesis.bonus === 0));
		readings.forEach((r, k) => {
			const tr = body.insertRow();
			tr.insertCell().append(difference(r.hypothesis.text, readings[0].hypothesis.text));
			const { log_prob, lm, bonus } = r.hypothesis;
			for (const v of [r.score, log_prob, lm, bonus]) {
				const td = tr.insertCell();
				td.className = tr.cells.length === 2 ? "number" : "number part";
				td.textContent = short(toNumber(v));
			}
			tr.classList.toggle("still", readings.length === 1);
			if (readings.length === 1) return;
			tr.tabIndex = 0;
			const choose = () => openReading(k, true);
			tr.addEventListener("click", choose);
			tr.addEventListener("keydown", event => { if (event.key === "Enter") choose(); });
		});
	}

	// openReading shows the path and the words of a reading.
	function openReading(k, keep) {
		const { from, to } = view;
		reading = sequence.readings[k];
		[...$("texts").rows].forEach((tr, i) => tr.setAttribute("aria-selected", i === k && sequence.readings.length > 1));
		sortTable();
		openCharts();
		if (keep) show(from, to);
	}

	function open(n) {
		sequence = openSequence(n);
		reading = sequence.readings[0];
		$("sequence").selectedIndex = n;
		$("previous").disabled = n === 0;
		$("next").disabled = n === report.sequences.length - 1;
		document.querySelector(".scroller").scrollTop = 0;
		openReadings();
		openReading(0, false);
	}

	function openSequences() {
		if (report.sequences.length < 2) return;
		$("sequences").hidden = false;
		report.sequences.forEach((s, n) => {
			const option = document.createElement("option"), { hypothesis, words } = s.readings[0];
			const begin = Array.from(hypothesis?.text ?? (words ? words.texts.slice(0, 8).join(" ") : "")).slice(0, 40).join("");
			option.textContent = `sequence ${n}` + (begin ? `: ${visible(begin)}` : "");
			$("sequence").append(option);
		});
		$("sequence").addEventListener("change", () => open($("sequence").selectedIndex));
		$("previous").addEventListener("click", () => open(sequence.n - 1));
		$("next").addEventListener("click", () => open(sequence.n + 1));
	}

	// ---- Begin ----

	if (!report.sequences.length) {
		document.querySelector(".about").append(": no sequences");
		document.querySelector("main").hidden = true;
		return;
	}
	const actions = {
		in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.5), right: () => move(0.5), all: () => show(0, lastFrame()),
	};
	for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
	const keys = { "+": "in", "=": "in", "-": "out", "0": "all", ArrowLeft: "left", ArrowRight: "right" };
	document.addEventListener("keydown", event => {
		if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, .scroller")) return;
		const id = keys[event.key];
		if (id && !$(id).disabled) {
			event.preventDefault();
			actions[id]();
		}
	});
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
		readColours();
		chart.redraw();
		overview.redraw();
	});
	addEventListener("scroll", () => { $("tip").hidden = true; }, { passive: true });
	readColours();
	openTable();
	openSequences();
	open(0);
	let width = $("chart").clientWidth;
	new ResizeObserver(() => {
		const now = $("chart").clientWidth;
		if (now === width) return;
		width = now;
		chart.setSize({ width, height: chart.height });
		overview.setSize({ width, height: overview.height });
		markView();
	}).observe($("chart"));
})();
