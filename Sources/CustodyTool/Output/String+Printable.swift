extension String {
    /// The text in one line that any terminal shows as it is: control and format characters and line ends, which could move
    /// the cursor, change colours or turn the order of what follows, are escaped as Swift writes them.
    var printable: String { escaped { Self.mustBeEscaped($0) } }

    /// The same of each line of the text.
    var printableLines: String { escaped { $0 != "\n" && Self.mustBeEscaped($0) } }

    private func escaped(_ mustBe: (Unicode.Scalar) -> Bool) -> String {
        guard unicodeScalars.contains(where: mustBe) else { return self }
        var text = ""
        for scalar in unicodeScalars {
            guard mustBe(scalar) else {
                text.unicodeScalars.append(scalar)
                continue
            }
            switch scalar {
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            default: text += "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return text
    }

    private static func mustBeEscaped(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value < 0x20 || scalar.value == 0x7F }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: return true
        default: return false
        }
    }
}
