"use strict";
// Judges the boxes on the page anew where the slider of tau goes.
const panel = document.getElementById("tau");
const slider = panel.querySelector("input");
const { taus, start, sets } = JSON.parse(panel.dataset.counts);
const shares = panel.querySelectorAll("[data-share]");
const boxes = document.querySelectorAll("[data-score]");

function judge(place) {
  const tau = taus[place];
  slider.value = place;
  const text = tau.toFixed(4);
  slider.setAttribute("aria-valuetext", text);
  panel.querySelector("[data-tau]").textContent = text;
  sets.forEach(({ known, total }, i) => {
    const share = total ? `${((100 * known[place]) / total).toFixed(1)}%` : "-";
    shares[i].textContent = `${share} (${known[place]} of ${total})`;
  });
  for (const box of boxes) box.dataset.known = Number(box.dataset.score) >= tau;
}

slider.addEventListener("input", () => judge(Number(slider.value)));
panel.querySelector("button").addEventListener("click", () => judge(start));
judge(start);
panel.hidden = false;
