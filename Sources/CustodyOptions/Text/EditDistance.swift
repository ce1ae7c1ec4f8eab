/// How far two words are apart: the number of letters to insert, remove, replace, or swap with their neighbour.
enum EditDistance {
    /// The word of `candidates` that `word` was most likely meant to be, or `nil` where none is near.
    static func nearest(to word: String, in candidates: [String]) -> String? {
        guard word.count <= 64 else { return nil }
        let scored = candidates.map { (candidate: $0, distance: distance(word.lowercased(), $0.lowercased())) }
        // A letter at least is meant: a word of two letters is as far from any other of two.
        let near = scored.filter { $0.distance <= min(max(2, $0.candidate.count / 2), $0.candidate.count - 1) }
        return near.min { $0.distance < $1.distance }?.candidate
    }

    /// What a message about an unknown word asks; nothing where none of `candidates` is near.
    static func question(about word: String, in candidates: [String]) -> String {
        nearest(to: word, in: candidates).map { "; did you mean ‘\($0)’?" } ?? ""
    }

    /// The optimal string alignment distance. O(*n* · *m*).
    static func distance(_ first: String, _ second: String) -> Int {
        let first = Array(first)
        let second = Array(second)
        var rows = [Array(0...second.count)]
        for i in first.indices {
            var row = [i + 1]
            for j in second.indices {
                let substitution = rows[i][j] + (first[i] == second[j] ? 0 : 1)
                var best = min(rows[i][j + 1] + 1, row[j] + 1, substitution)
                if i > 0, j > 0, first[i] == second[j - 1], first[i - 1] == second[j] {
                    best = min(best, rows[i - 1][j - 1] + 1)
                }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[first.count][second.count]
    }
}
