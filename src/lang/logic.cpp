#include "lang/logic.hpp"

namespace tl::lang {

void run_logic(Interpreter::Impl&, const Stmt& stmt) { fail_at(stmt.place, "not supported yet: logic"); }
void add_fact(Interpreter::Impl&, const Expr& call) { fail_at(call.place, "not supported yet: facts"); }
Datum builtin_entity_onehot(Call&) { fail(ErrorKind::unsupported, "not supported yet: entity_onehot"); }
Datum builtin_entity_dim(Call&) { fail(ErrorKind::unsupported, "not supported yet: entity_dim"); }
Datum builtin_relation_tensor(Call&) { fail(ErrorKind::unsupported, "not supported yet: relation tensors"); }

}  // namespace tl::lang
