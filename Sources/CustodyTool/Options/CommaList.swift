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

    /// The same where a name is of use once.
    ///
    /// - Throws: `ValidationError` where one is nothing, or stands twice.
    static func distinctNames(_ text: String, _ option: String) throws -> [String] {
        let names = try names(text, option)
        var seen: Set<String> = []
        if let twice = names.first(where: { !seen.insert($0).inserted }) {
            throw ValidationError("\(option) names ‘\(twice)’ twice")
        }
        return names
    }
}
