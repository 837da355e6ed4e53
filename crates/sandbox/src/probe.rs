pub struct Finding;
pub fn probe() {}
