extension String {
    /// The largest number of characters that a message quotes.
    private static let mostQuoted = 64

    /// The text in quotation marks, for a message: what is long ends in an ellipsis.
    var quoted: String { "‘\(prefix(String.mostQuoted))\(dropFirst(String.mostQuoted).isEmpty ? "" : "…")’" }
}
