import Custody

/// A picture of ownership as SVG: a bar for each region, true to scale.
struct OwnershipDrawing {
    private let picture: OwnershipPicture

    private static let width = 1024.0
    private static let bar = 40.0
    private static let step = 80.0

    init(_ picture: OwnershipPicture) { self.picture = picture }

    var text: String {
        let height = Self.step * Double(picture.layout.regions.count) + 60
        var lines = [
            #"<svg xmlns="http://www.w3.org/2000/svg" width="\#(Int(Self.width) + 40)" height="\#(Int(height))" "#
                + #"font-family="sans-serif" font-size="13">"#,
            #"<text x="20" y="20">\#(escape(picture.title))</text>"#,
        ]
        for (index, (region, runs)) in picture.regions.enumerated() {
            let top = 40 + Self.step * Double(index)
            lines.append(#"<text x="20" y="\#(number(top + 12))">\#(escape("\(region)"))</text>"#)
            for run in runs {
                let scale = Self.width / Double(region.count)
                let x = 20 + Double(run.range.start.rawValue - region.start.rawValue) * scale
                let width = max(0.5, Double(run.range.count) * scale)
                lines.append(
                    #"<rect x="\#(number(x))" y="\#(number(top + 18))" width="\#(number(width))" "#
                        + #"height="\#(number(Self.bar))" fill="\#(colour(run.state))">"#
                        + #"<title>\#(escape("\(run.range) \(run.state)"))</title></rect>"#
                )
            }
        }
        var x = 20.0
        for (ownership, size) in picture.sums {
            let label = "\(ownership) \(size)"
            lines.append(
                #"<rect x="\#(number(x))" y="\#(number(height - 25))" width="14" height="14" fill="\#(colour(ownership))"/>"#
            )
            lines.append(#"<text x="\#(number(x + 20))" y="\#(number(height - 13))">\#(escape(label))</text>"#)
            x += 40 + 8 * Double(label.count)
        }
        return (lines + ["</svg>"]).joined(separator: "\n")
    }

    private func number(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }

    private func escape(_ text: String) -> String {
        text.printable.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }

    private func colour(_ ownership: Ownership) -> String {
        switch ownership {
        case .shared: "#4caf50"
        case .private: "#3f51b5"
        case .inTransit: "#ffb300"
        case .host: "#9e9e9e"
        }
    }
}
