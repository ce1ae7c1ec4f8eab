import Custody

/// Other processes that are driven on both sides of a lockstep.
struct LockstepNeighbours: Neighbours {
    private let real: any Neighbours
    private let twin: (any Neighbours)?
    private let backend: LockstepBackend

    init(_ real: any Neighbours, beside twin: (any Neighbours)?, of backend: LockstepBackend) {
        self.real = real
        self.twin = twin
        self.backend = backend
    }

    func map(_ range: PageRange, as name: String) throws(BackendError) {
        try both(
            "\(name) maps \(range)",
            range.address,
            { () throws(BackendError) in
                try real.map(range, as: name)
                return []
            },
            { (twin) throws(BackendError) in
                try twin.map(range, as: name)
                return []
            }
        )
    }

    func read(_ count: Int, from address: GuestPhysicalAddress, as name: String) throws(BackendError) -> [UInt8] {
        try both(
            "\(name) reads \(count) bytes at \(address)",
            address,
            { () throws(BackendError) in
                try real.read(count, from: address, as: name)
            },
            { (twin) throws(BackendError) in
                try twin.read(count, from: address, as: name)
            }
        )
    }

    func write(_ bytes: [UInt8], to address: GuestPhysicalAddress, as name: String) throws(BackendError) {
        try both(
            "\(name) writes \(bytes.count) bytes at \(address)",
            address,
            { () throws(BackendError) in
                try real.write(bytes, to: address, as: name)
                return []
            },
            { (twin) throws(BackendError) in
                try twin.write(bytes, to: address, as: name)
                return []
            }
        )
    }

    func release(as name: String) throws(BackendError) {
        try both(
            "\(name) lets go",
            backend.layout.bounds.address,
            { () throws(BackendError) in
                try real.release(as: name)
                return []
            },
            { (twin) throws(BackendError) in
                try twin.release(as: name)
                return []
            }
        )
    }

    /// Drives both, and compares what came of it.
    @discardableResult
    private func both(
        _ call: String,
        _ address: GuestPhysicalAddress,
        _ first: () throws(BackendError) -> [UInt8],
        _ second: (any Neighbours) throws(BackendError) -> [UInt8]
    ) throws(BackendError) -> [UInt8] {
        guard let twin else {
            backend.noteUncompared("other processes at the guest's memory")
            return try first()
        }
        let (found, other) = backend.drive {
            (
                Result { () throws(BackendError) in try first() },
                Result { () throws(BackendError) in try second(twin) }
            )
        }
        try backend.compare(call, address, found, other)
        return try found.get()
    }
}
