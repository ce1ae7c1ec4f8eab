/// Conversions that a guest's accesses ask for (`KVM_EXIT_MEMORY_FAULT`), and whether they get it anywhere.
struct ImpliedConversions {
    private var last: ProcessorExit.MemoryFault?
    private var count = 0

    /// The fault of an exit, where a conversion is to be asked for; not where it has been so often, with nothing else in
    /// between, that there can be no memory to convert.
    mutating func next(_ exit: ProcessorExit) -> ProcessorExit.MemoryFault? {
        switch exit {
        case .memoryFault(let fault):
            count = fault == last ? count + 1 : 1
            last = fault
            return count < 16 ? fault : nil
        case .interrupted: break
        default: last = nil
        }
        return nil
    }
}
