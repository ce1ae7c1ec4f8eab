import ArgumentParser
import Foundation

/// Names in one option, separated by commas.
enum CommaList {
    /// - Throws: `ValidationError` where one of them is nothing.
    static func names(_ text: String, _ option: String) throws -> [String] {
        let names = text.split(separator: ",", omittingEmptySubsequences: false).map {
            $0.trimmingCharacters(in: .whitespaces)
        }
        guard !names.contains("") else {
            throw ValidationError("\(option) takes names separated by commas, and one of ‘\(text)’ is empty")
        }
        return names
    }
}
