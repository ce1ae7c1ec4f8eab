import CustodyProtocols

/// A state of a configuration, unpacked: the world and the actors.
struct SystemState {
    var world: SmallWorld
    var actors: InlineArray<8, Actor>
}
