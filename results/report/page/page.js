// Filters the table of tasks, and shows a task in a dialog. Sorting is done by sortable.min.js.
// Without scripts nothing of this is missed: links lead to the tasks, which open by themselves.
"use strict";
document.documentElement.classList.add("js");

const table = document.getElementById("task-table");
const filters = document.getElementById("filters");
const rows = () => [...table.tBodies[0].rows]; // sorting replaces the body
const shown = () => rows().filter((row) => !row.hidden);

function filter() {
  const wanted = Object.fromEntries(new FormData(filters));
  const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows()) {
    const fits = (name) => !wanted[name] || row.dataset[name] === wanted[name];
    row.hidden = !(
      ["family", "label", "status"].every(fits) &&
      words.every((word) => row.dataset.search.includes(word))
    );
  }
  const count = shown().length;
  document.getElementById("count").textContent = `${count} of ${rows().length} rows`;
  document.getElementById("none").hidden = count > 0;
}
filters.addEventListener("input", filter);
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => setTimeout(filter));

// The dialog borrows a task's content and gives it back.
const viewer = document.getElementById("viewer");
const body = document.getElementById("viewer-body");
let current = null;

function giveBack() {
  if (current) document.getElementById(current).append(...body.childNodes);
  current = null;
}

function show(anchor) {
  giveBack();
  const part = document.getElementById(anchor);
  document.getElementById("viewer-title").textContent = part.querySelector("summary").firstChild.data;
  body.append(part.querySelector(".content"));
  current = anchor;
  history.replaceState(null, "", `#${anchor}`);
  if (!viewer.open) viewer.showModal();
  viewer.scrollTop = 0;
}

function step(by) {
  const anchors = [...new Set(shown().map((row) => row.dataset.anchor))];
  const at = anchors.indexOf(current) + by;
  if (anchors.length) show(anchors[(at + anchors.length) % anchors.length]);
}

viewer.addEventListener("close", () => {
  const link = rows().find((row) => row.dataset.anchor === current)?.querySelector("a");
  giveBack();
  history.replaceState(null, "", location.pathname + location.search);
  link?.focus();
});
viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
document.getElementById("previous").addEventListener("click", () => step(-1));
document.getElementById("next").addEventListener("click", () => step(1));
table.addEventListener("click", (event) => {
  const link = event.target.closest("tbody a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(link.closest("tr").dataset.anchor);
});
const asked = location.hash.match(/^#(task-\d+)/);
if (asked && document.getElementById(asked[1])) show(asked[1]);
addEventListener("beforeprint", () => viewer.open && viewer.close());
