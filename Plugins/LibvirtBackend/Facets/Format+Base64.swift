#if Libvirt
import Custody
import CustodyOptions

extension Format<String> {
    /// Bytes in base64 (RFC 4648), padded and with nothing in between: so many, or any number from 1 on.
    static func base64(bytes: Int? = nil) -> Format {
        let symbol = "[A-Za-z0-9+/]"
        let one = symbol + "[AQgw]=="
        let two = symbol + "{2}[AEIMQUYcgkosw048]="
        let pattern =
            if let bytes { "\(symbol){\(bytes / 3 * 4)}" + ["", one, two][bytes % 3] } else {
                "(\(symbol){4})*(\(symbol){4}|\(two)|\(one))"
            }
        return text.annotated(["pattern": .string("^\(pattern)$")]).map { (text, location) throws(ConfigurationError) in
            guard let count = byteCount(base64: text), count == bytes ?? count else {
                let what = bytes.map { "\($0) bytes in base64, \(($0 + 2) / 3 * 4) characters" } ?? "bytes in base64"
                throw ConfigurationError("the value must be \(what)", at: location)
            }
            return text
        }
    }

    /// How many bytes a text stands for, where it is their one text.
    private static func byteCount(base64 text: String) -> Int? {
        let padding = text.utf8.reversed().prefix { $0 == UInt8(ascii: "=") }.count
        let symbols = text.utf8.dropLast(padding).map(sextet)
        guard padding <= 2, text.utf8.count.isMultiple(of: 4), !symbols.contains(nil),
            // The bits of the last symbol that are of no byte.
            let last = symbols.last ?? nil, last & ((1 << (2 * UInt8(padding))) - 1) == 0
        else { return nil }
        return symbols.count * 6 / 8
    }

    private static func sextet(_ symbol: UInt8) -> UInt8? {
        switch symbol {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): symbol - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): symbol - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): symbol - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}

#endif
