/// Who holds a reference to guest memory: what an operator needs to know to make it go.
public struct Holder: Sendable, Hashable, Codable {
    /// The device or component, for example `virtio-net0`.
    public let device: String
    /// The queue or channel of the device, where it has several.
    public let queue: String?
    /// The process, where it is not this one.
    public let process: Int32?
    /// What the reference is for, for example `receive buffers`.
    public let purpose: String?

    /// Names a holder.
    public init(device: String, queue: String? = nil, process: Int32? = nil, purpose: String? = nil) {
        self.device = device
        self.queue = queue
        self.process = process
        self.purpose = purpose
    }
}

extension Holder: CustomStringConvertible {
    /// Device, queue, process and purpose in one line.
    public var description: String {
        var text = device
        if let queue { text += "/\(queue)" }
        if let process { text += " (pid \(process))" }
        if let purpose { text += ": \(purpose)" }
        return text
    }
}
