#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "lang/ast.hpp"

namespace tl::lang {

using Fact = std::vector<std::string>;

struct Relation {
  std::string name;
  std::vector<std::string> params;  // names
  std::vector<std::string> types;   // "" when not given
  std::size_t arity = 0;
  std::set<Fact> facts;
  bool derived = false;
};

// Entities, relations, facts and rules of a session.
class Knowledge {
 public:
  std::map<std::string, std::vector<std::string>> entities;  // members in order
  std::map<std::string, bool> closed;                        // declared with a list
  std::map<std::string, Relation> relations;
  std::vector<const Stmt*> rules;
  std::vector<std::string> appearance;                         // all constants, in the order of their first appearance
  std::map<std::string, std::vector<std::string>> embeddings;  // names of the rows of an embedding's table

  bool is_entity(const std::string& name) const;
  std::size_t order(const std::string& constant) const;
  void note(const std::string& constant);
  void clear() { *this = Knowledge(); }
};

}  // namespace tl::lang
