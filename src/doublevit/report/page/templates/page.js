"use strict";
// A press on a column's heading sorts the rows below it, each group by itself; another press turns the order round.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = button.closest("table");
    const falling = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("thead th")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    for (const body of table.tBodies) sort(body, head.cellIndex, falling ? -1 : 1);
  });
}

function sort(body, column, sign) {
  const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
  const value = (row) => row.cells[column].dataset.value;
  rows.sort((one, other) => compare(value(one), value(other), sign));
  body.append(...rows);
}

// What is empty comes last in either order.
function compare(one, other, sign) {
  if (one === "" || other === "") return (one === "") - (other === "");
  const [first, second] = [Number(one), Number(other)];
  const numbers = !Number.isNaN(first) && !Number.isNaN(second);
  return sign * (numbers ? first - second : one.localeCompare(other, undefined, { numeric: true }));
}
