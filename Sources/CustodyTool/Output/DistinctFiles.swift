import ArgumentParser
import CustodyFiles

/// Files that a command writes: each is another one, and none of those that it reads.
enum DistinctFiles {
    /// - Parameters:
    ///   - outputs: What the command line names to be written, by its option.
    ///   - inputs: What it names to be read.
    /// - Throws: `ValidationError` where a regular file would be written twice, or in place of one that is read.
    static func check(_ outputs: KeyValuePairs<String, String?>, apartFrom inputs: [String] = []) throws {
        var taken = inputs.map { (name: $0, target: target($0)) }
        for (option, path) in outputs {
            guard let path, let target = target(path) else { continue }
            if let other = taken.first(where: { $0.target == target }) {
                throw ValidationError("\(option) and \(other.name) name one file, ‘\(path)’")
            }
            taken.append((option, target))
        }
    }

    /// The regular file that a path leads to, whatever it is called; `nil` for pipes, devices and what is none.
    private static func target(_ path: String) -> String? {
        guard case .file(let real, _)? = try? OutputTarget(path) else { return nil }
        return real
    }
}
