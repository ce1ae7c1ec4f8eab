import Custody

/// Plays the steps of a scenario that other processes of the host make.
struct NeighbourPlayer {
    private let neighbours: any Neighbours

    init(_ neighbours: any Neighbours) { self.neighbours = neighbours }

    /// What a step came to, and why that is not right.
    typealias Verdict = (outcome: String, failure: String?)

    func map(_ range: PageRange, _ name: String, _ access: ScenarioAction.Access) -> Verdict {
        do throws(BackendError) {
            try neighbours.map(range, as: name)
            return ("ok", access == .reached ? nil : "expected \(access.rawValue), not reached")
        } catch {
            let word = error.code == .accessDenied ? ScenarioAction.Access.refused : .failed
            return (
                "\(word.rawValue): \(error.summary)",
                access == word ? nil : "expected \(access.rawValue), not \(word.rawValue)"
            )
        }
    }

    func write(_ bytes: [UInt8], _ address: UInt64, _ name: String) -> Verdict {
        carryOut { () throws(BackendError) in
            try neighbours.write(bytes, to: GuestPhysicalAddress(address), as: name)
        }
    }

    func release(_ name: String) -> Verdict {
        carryOut { () throws(BackendError) in try neighbours.release(as: name) }
    }

    func read(_ count: Int, _ address: UInt64, _ name: String) -> Result<[UInt8], BackendError> {
        Result { () throws(BackendError) in
            try neighbours.read(count, from: GuestPhysicalAddress(address), as: name)
        }
    }

    private func carryOut(_ body: () throws(BackendError) -> Void) -> Verdict {
        do throws(BackendError) {
            try body()
            return ("ok", nil)
        } catch {
            return ("failed", error.summary)
        }
    }
}
