/// What every back end needs to know of the guest it is to run.
public struct GuestConfiguration: Sendable, Equatable {
    /// The regions of RAM whose ownership is managed.
    public var layout: GuestMemoryLayout
    /// The number of virtual processors.
    public var processors: Int

    /// A guest with the given memory.
    public init(layout: GuestMemoryLayout, processors: Int = 1) {
        self.layout = layout
        self.processors = processors
    }
}
