import CustodyProtocols

/// The counterexamples of a report as one page for a browser: nothing is loaded from elsewhere.
public struct CounterexamplePage: Sendable {
    private let report: Report

    /// A page that shows the counterexamples of `report`.
    public init(_ report: Report) { self.report = report }

    /// The page, as HTML. Every text in it is escaped.
    public var html: String {
        let title = escaped("\(report.configuration.handover.name): \(report.configuration.name)")
        let counterexamples = report.verdicts.compactMap(\.verdict.counterexample)
        let sections = counterexamples.enumerated().map { section($0.element, $0.offset) }.joined(separator: "\n")
        let verdicts = report.verdicts.map { property, verdict in
            let isBroken = verdict.counterexample != nil
            return "<tr><td>\(escaped(property.rawValue))</td><td>\(escaped(property.sentence))</td>"
                + "<td class=\"\(isBroken ? "broken" : "")\">\(escaped(verdict.text))</td></tr>"
        }.joined(separator: "\n")
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(title)</title>
            <style>\(CounterexamplePage.style)</style>
            </head>
            <body>
            <h1>\(title)</h1>
            <p>\(report.states) states, \(report.transitions) transitions, the farthest \(report.depth) steps away.</p>
            \(sections)
            <h2>All properties</h2>
            <table class="verdicts">
            \(verdicts)
            </table>
            <script>\(CounterexamplePage.script)</script>
            </body>
            </html>

            """
    }

    private func section(_ counterexample: Counterexample, _ number: Int) -> String {
        let headings = counterexample.actors.map { "<th>\(escaped($0))</th>" }.joined()
        let blanks = counterexample.actors.map { _ in "<td></td>" }.joined()
        var rows = ["<tr data-step=\"0\"><td>0</td>\(blanks)<td>\(pages(counterexample.start))</td></tr>"]
        for (index, entry) in counterexample.entries.enumerated() {
            let step = entry.transition.step
            let cells = counterexample.actors.indices.map { actor in
                guard actor == entry.actor else { return "<td></td>" }
                let hint = escaped("\(step.function) \(step.text) (\(step.source(in: counterexample.handover)))")
                let wait = entry.transition.isBlocked ? "<br>waits for \(escaped(entry.transition.wait.text))" : ""
                return "<td class=\"does\" title=\"\(hint)\"><b>\(escaped("\(step)"))</b><br>"
                    + "<code>\(escaped(step.function))</code> \(escaped(step.text))\(wait)</td>"
            }.joined()
            rows.append(
                "<tr data-step=\"\(index + 1)\"><td>\(index + 1)</td>\(cells)<td>\(pages(entry.pages))</td></tr>"
            )
        }
        let ending = counterexample.ending.split(separator: "\n").map { escaped(String($0)) }.joined(separator: "<br>")
        let last = counterexample.entries.count
        return """
            <section>
            <h2>\(escaped(counterexample.property.rawValue))</h2>
            <p>\(escaped(counterexample.property.sentence)) <span class="broken">It does not hold.</span><br>
            <small>\(escaped(counterexample.property.source))</small><br>
            \(counterexample.isShortest ? "No way is shorter." : "There may be a shorter way.")</p>
            <p class="control"><button type="button" data-by="-1" aria-label="one step back">◀</button>
            <input type="range" min="0" max="\(last)" value="\(last)" aria-label="step" id="slider-\(number)">
            <button type="button" data-by="1" aria-label="one step on">▶</button>
            <output for="slider-\(number)">step \(last) of \(last)</output></p>
            <table class="timeline">
            <thead><tr><th>#</th>\(headings)<th>pages</th></tr></thead>
            <tbody>
            \(rows.joined(separator: "\n"))
            </tbody>
            </table>
            <p class="ending">\(ending)<br>\(escaped(counterexample.code.map { "Last step: \($0)" } ?? ""))</p>
            </section>
            """
    }

    /// Every page on a line of its own.
    private func pages(_ text: String) -> String {
        text.split(separator: "|").map { "<span class=\"page\">\(escaped(String($0)))</span>" }.joined(
            separator: "<br>"
        )
    }

    private func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.append(character)
            }
        }
        return result
    }

    private static let style = """

        body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
          color: #1b1f24; background: #fff; }
        h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
        table { border-collapse: collapse; width: 100%; }
        th, td { border: 1px solid #d0d7de; padding: .3rem .5rem; text-align: left; vertical-align: top; }
        th { background: #f3f5f7; position: sticky; top: 2.6rem; }
        .verdicts th { position: static; }
        .control { position: sticky; top: 0; background: #fff; margin: 0; padding: .5rem 0; display: flex; gap: .6rem;
          align-items: center; height: 1.6rem; }
        .control input { flex: 1; }
        .does { background: #e8f1fb; }
        .page { white-space: nowrap; font-family: ui-monospace, monospace; font-size: .85rem; }
        .broken { color: #b3261e; font-weight: 600; }
        .ending { border-left: 4px solid #b3261e; padding-left: .8rem; }
        tr.now td { outline: 2px solid #1f6feb; outline-offset: -2px; }
        tr.later { opacity: .25; }
        small { color: #57606a; }

        """

    private static let script = """

        for (const section of document.querySelectorAll("section")) {
          const slider = section.querySelector("input");
          const output = section.querySelector("output");
          const rows = [...section.querySelectorAll("tr[data-step]")];
          const show = (scrolls) => {
            const now = Number(slider.value);
            output.textContent = `step ${now} of ${slider.max}`;
            for (const row of rows) {
              const step = Number(row.dataset.step);
              row.classList.toggle("now", step === now);
              row.classList.toggle("later", step > now);
              if (scrolls && step === now) row.scrollIntoView({ block: "nearest" });
            }
          };
          slider.addEventListener("input", () => show(true));
          for (const button of section.querySelectorAll("button")) {
            button.addEventListener("click", () => {
              slider.value = Number(slider.value) + Number(button.dataset.by);
              show(true);
            });
          }
          show(false);
        }

        """
}
