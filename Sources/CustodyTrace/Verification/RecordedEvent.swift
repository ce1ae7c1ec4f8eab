package import CustodyPolicy

/// An event of a controller, and the thread that told of it.
package struct RecordedEvent: Sendable {
    package let event: ControllerEvent
    /// A number that no other thread had at the time.
    package let thread: UInt
}
