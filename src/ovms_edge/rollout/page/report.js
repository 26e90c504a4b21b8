
"use strict";
(() => {
  const PAGE = 100;
  const data = JSON.parse(document.getElementById("data").textContent);
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const byId = (id) => document.getElementById(id);
  const words = (state) => state.replaceAll("_", " ");
  const count = (number) => number.toLocaleString("en-US");

  // Times and sizes, in the same words as the rest of the page.
  const formats = new Map();
  function inZone(seconds, zone) {
    if (!formats.has(zone)) {
      let format;
      const style = {dateStyle: "short", timeStyle: "medium"};
      try {
        format = new Intl.DateTimeFormat("sv-SE", {...style, timeZone: zone});
      } catch {
        format = null; // a zone that this browser does not know
      }
      formats.set(zone, format);
    }
    const format = formats.get(zone);
    return format ? format.format(seconds * 1000) : null;
  }
  function size(bytes) {
    for (const unit of ["B", "KiB", "MiB"]) {
      if (bytes < 1024) return `${bytes.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
      bytes /= 1024;
    }
    return `${bytes.toFixed(1)} GiB`;
  }
  function duration(seconds) {
    if (seconds < 60) return `${seconds.toFixed(1)} s`;
    let left = Math.round(seconds);
    const parts = [];
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
      const number = Math.floor(left / length);
      left -= number * length;
      if (number || parts.length) parts.push([number, unit]);
    }
    return parts.slice(0, 2).filter(([number]) => number).map((part) => part.join(" ")).join(" ");
  }

  // Elements are made of text, never of markup.
  function element(name, content, attributes = {}) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (content !== null && content !== undefined) made.append(...[content].flat());
    return made;
  }

  const collator = new Intl.Collator("en", {numeric: true});
  const texts = data.texts;
  const at = Object.fromEntries(data.columns.map((name, index) => [name, index]));
  const rows = data.stores.map((values, index) => {
    const row = {index};
    for (const name of data.columns) row[name] = values[at[name]];
    for (const name of data.text_columns) row[name] = row[name] === null ? null : texts[row[name]];
    row.drift = Boolean(row.expected && row.serving && row.serving !== row.expected);
    row.found = [row.store, row.wave, words(row.state), row.region, row.hardware, row.timezone, row.serving, row.reason]
      .filter(Boolean).join("\n").toLowerCase();
    return row;
  });
  const ranks = new Map();
  [...rows].sort((a, b) => collator.compare(a.store, b.store)).forEach((row, rank) => { row.rank = rank; });
  [...texts].sort(collator.compare).forEach((text, rank) => ranks.set(text, rank));
  const stateRanks = new Map(data.states.map((state, rank) => [state, rank]));
  const waveRanks = new Map(data.waves.map((wave, rank) => [wave, rank]));
  const rankOf = (text) => (text === null ? null : ranks.get(text));

  const model = data.release.replace(/@[^@]*$/, "@");
  const version = (ref) => (ref && ref.startsWith(model) ? ref.slice(model.length) : ref);
  const COLUMNS = [
    {key: "store", head: "store", value: (row) => row.rank},
    {key: "wave", head: "wave", value: (row) => waveRanks.get(row.wave), text: (row) => row.wave, look: "named"},
    {key: "state", head: "state", value: (row) => stateRanks.get(row.state), look: "named"},
    {key: "since", head: "since", value: (row) => row.since, text: (row) => inZone(row.since, zone).slice(5), look: "named", time: true},
    {key: "attempts", head: "tries", value: (row) => row.attempts, text: (row) => String(row.attempts), look: "number minor"},
    {key: "region", head: "region", value: (row) => rankOf(row.region), text: (row) => row.region, look: "named minor"},
    {key: "hardware", head: "hardware", value: (row) => rankOf(row.hardware), text: (row) => row.hardware, look: "named minor"},
    {key: "fetch", head: "fetch", value: (row) => row.fetch_bytes, text: (row) => size(row.fetch_bytes), look: "number minor"},
    {key: "stage", head: "staging", value: (row) => row.stage_seconds, text: (row) => duration(row.stage_seconds), look: "number minor"},
    {key: "activate", head: "activation", value: (row) => row.activate_seconds, text: (row) => duration(row.activate_seconds), look: "number minor"},
    {key: "serving", head: "serves", value: (row) => rankOf(row.serving), text: (row) => version(row.serving), look: "named minor"},
    {key: "reason", head: "reason", value: (row) => rankOf(row.reason), text: (row) => row.reason, look: "reason minor"},
  ];

  let zone = "UTC";
  let found = rows;
  let all = false; // rows on paper: no pages
  const opened = new Set();
  const asked = {q: "", state: "", wave: "", group: "", drift: "", sort: "store", down: "", page: "1"};
  const first = {...asked};

  // What is asked for stands in the address, so that it can be passed on.
  function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const key of Object.keys(asked)) asked[key] = given.get(key) ?? first[key];
  }
  function writeAddress() {
    const given = new URLSearchParams(Object.entries(asked).filter(([key, value]) => value !== first[key]));
    history.replaceState(null, "", `#${given}`);
  }

  function search() {
    const tokens = asked.q.toLowerCase().split(/\s+/).filter(Boolean);
    const group = asked.group === "" ? null : Number(asked.group);
    found = rows.filter((row) =>
      (asked.state === "" || row.state === asked.state)
      && (asked.wave === "" || row.wave === asked.wave)
      && (group === null || row.group === group)
      && (asked.drift === "" || row.drift)
      && tokens.every((token) => row.found.includes(token)));
    const column = COLUMNS.find((one) => one.key === asked.sort) || COLUMNS[0];
    const way = asked.down ? -1 : 1;
    const values = new Map(found.map((row) => [row, column.value(row)]));
    const lacking = (value) => value === null || value === undefined;
    found.sort((a, b) => {
      const [one, other] = [values.get(a), values.get(b)];
      if (lacking(one) || lacking(other)) return lacking(one) - lacking(other) || a.rank - b.rank;
      return (one - other) * way || a.rank - b.rank;
    });
  }

  function drawHead() {
    const heads = COLUMNS.map((column) => {
      const name = column.time ? `${column.head} (${zone})` : column.head;
      const look = (column.look || "").replace("reason", "");
      const head = element("th", element("button", name, {type: "button", "data-sort": column.key}), {scope: "col", class: look});
      if (asked.sort === column.key) head.setAttribute("aria-sort", asked.down ? "descending" : "ascending");
      return head;
    });
    const focused = document.activeElement?.dataset?.sort;
    const line = byId("table").tHead.rows[0];
    line.replaceChildren(...heads);
    if (focused) line.querySelector(`[data-sort="${focused}"]`).focus();
  }

  function cell(column, row) {
    if (column.key === "store") {
      const open = opened.has(row.index);
      const button = element("button", row.store, {type: "button", class: "link", "data-open": row.index, "aria-expanded": open});
      return element("th", button, {scope: "row"});
    }
    if (column.key === "state") {
      return element("td", [element("i", null, {class: `s-${row.state}`}), words(row.state)], {class: column.look});
    }
    const lacking = (column.value(row) ?? null) === null;
    const made = element("td", lacking ? "-" : column.text(row), {class: column.look});
    if (column.key === "serving" && row.drift) made.append(" ", element("span", "drift", {class: "drift"}));
    return made;
  }

  function fact(name, ...values) {
    const said = values.filter(Boolean);
    return said.length ? element("div", [element("dt", name), ...said.map((value) => element("dd", value))]) : "";
  }

  function detail(row) {
    const times = [`${inZone(row.since, "UTC")} UTC`];
    for (const other of new Set([here, row.timezone])) {
      const there = other && other !== "UTC" && inZone(row.since, other);
      if (there) times.push(`${there} ${other}`);
    }
    const facts = element("dl", [
      fact("reason", row.reason), fact("remedy", row.remedy), fact("since", ...times),
      fact("served before", row.before), fact("serves", row.serving), fact("expected", row.expected),
      fact("region, hardware", [row.region, row.hardware].filter(Boolean).join(", ")), fact("time zone", row.timezone),
      fact("tries", String(row.attempts)), fact("fetch", row.fetch_bytes === null ? "" : size(row.fetch_bytes)),
      fact("staging", row.stage_seconds === null ? "" : duration(row.stage_seconds)),
      fact("activation", row.activate_seconds === null ? "" : duration(row.activate_seconds)),
    ], {class: "facts"});
    const changes = data.changes[row.index].map(([after, , to, reason]) => element("tr", [
      element("td", inZone(data.started + after, zone), {class: "named"}),
      element("td", words(texts[to])),
      element("td", reason === null ? "" : texts[reason]),
    ]));
    const head = element("tr", [`at (${zone})`, "became", "reason"].map((name) => element("th", name, {scope: "col"})));
    const table = changes.length ? element("table", [element("thead", head), element("tbody", changes)]) : "";
    return element("tr", element("td", element("div", [facts, table]), {colspan: COLUMNS.length}), {class: "detail"});
  }

  function drawRows() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    const page = Math.min(Math.max(1, Number(asked.page) || 1), pages);
    const begin = all ? 0 : (page - 1) * PAGE;
    const shown = found.slice(begin, all ? undefined : begin + PAGE);
    const made = document.createDocumentFragment();
    for (const row of shown) {
      made.append(element("tr", COLUMNS.map((column) => cell(column, row))));
      if (opened.has(row.index)) made.append(detail(row));
    }
    byId("table").tBodies[0].replaceChildren(made);
    const of = found.length === rows.length ? `${count(rows.length)} stores` : `${count(found.length)} of ${count(rows.length)} stores`;
    const part = shown.length < found.length ? `, ${count(begin + 1)} to ${count(begin + shown.length)} shown` : "";
    byId("shown").textContent = of + part;
    byId("pages").hidden = pages === 1;
    byId("page").textContent = `Page ${count(page)} of ${count(pages)}`;
    byId("previous").disabled = page === 1;
    byId("next").disabled = page === pages;
  }

  function drawFilters() {
    for (const [id, value] of [["search", asked.q], ["state", asked.state], ["wave", asked.wave]]) {
      if (byId(id).value !== value) byId(id).value = value;
    }
    const group = data.groups[asked.group === "" ? -1 : Number(asked.group)];
    const only = [];
    if (group) only.push(`only ${words(group[0])}: ${group[1]}`);
    if (asked.drift) only.push("only those that serve something else than expected");
    byId("only").hidden = !only.length;
    byId("only").textContent = only.join("; ");
    byId("clear").hidden = !["q", "state", "wave", "group", "drift"].some((key) => asked[key] !== "");
    for (const button of document.querySelectorAll(".counts button")) {
      button.setAttribute("aria-pressed", button.dataset.state === asked.state);
    }
  }

  function draw() {
    search();
    drawHead();
    drawFilters();
    drawRows();
  }
  function ask(changes) {
    Object.assign(asked, {page: "1"}, changes);
    writeAddress();
    draw();
  }
  function show(changes) {
    ask({q: "", state: "", wave: "", group: "", drift: "", ...changes});
    byId("stores").scrollIntoView();
  }

  function drawTimes() {
    for (const each of document.querySelectorAll("time:not(.both)")) {
      each.textContent = inZone(Date.parse(each.dateTime) / 1000, zone);
    }
    for (const each of document.querySelectorAll(".zone")) each.textContent = zone;
    for (const each of document.querySelectorAll("[data-seconds]")) {
      const [day, time] = inZone(Number(each.dataset.seconds), zone).split(" ");
      const parts = {date: [day.slice(5)], time: [time.slice(0, 5)], both: [day.slice(5), time.slice(0, 5)]};
      each.textContent = parts[each.dataset.form].join(" ");
    }
  }

  if (here !== "UTC") {
    byId("zone").append(element("option", here, {value: here}));
    for (const each of document.querySelectorAll("time.both")) {
      each.append(element("span", `${inZone(Date.parse(each.dateTime) / 1000, here)} ${here}`, {class: "local"}));
    }
  }
  byId("zone").addEventListener("change", (event) => {
    zone = event.target.value;
    drawTimes();
    draw();
  });
  byId("search").addEventListener("input", (event) => ask({q: event.target.value}));
  byId("state").addEventListener("change", (event) => ask({state: event.target.value}));
  byId("wave").addEventListener("change", (event) => ask({wave: event.target.value}));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", (event) => {
    event.preventDefault();
    ask({q: "", state: "", wave: "", group: "", drift: ""});
    byId("search").focus();
  });
  byId("previous").addEventListener("click", () => ask({page: String((Number(asked.page) || 1) - 1)}));
  byId("next").addEventListener("click", () => ask({page: String((Number(asked.page) || 1) + 1)}));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const {sort, open, state, wave, group, drift} = button.dataset;
    if (sort) ask({sort, down: asked.sort === sort && !asked.down ? "1" : ""});
    else if (state) show({state: asked.state === state ? "" : state});
    else if (wave) show({wave});
    else if (group) show({group});
    else if (drift) show({drift});
    else if (open) {
      const index = Number(open);
      if (!opened.delete(index)) opened.add(index);
      drawRows();
      document.querySelector(`[data-open="${index}"]`).focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      byId("search").focus();
    }
  });
  addEventListener("hashchange", () => { readAddress(); draw(); });
  addEventListener("beforeprint", () => { all = true; drawRows(); });
  addEventListener("afterprint", () => { all = false; drawRows(); });
  readAddress();
  draw();
})();
